# Seeds torrents with libtorrent. It dials nobody.
#
# Its arguments are "large" or "usual", for the buffers, a port, and addresses to listen on. It reads requests from standard input and answers each of them, a line of JSON
# each, and ends with its input:
#
#   {"add": PATH OF A TORRENT, "dir": WHERE ITS DATA IS}  -> INFOHASH
#   {"uploaded": INFOHASH}                                -> BYTES OF PIECES THAT WERE SENT
import json
import sys

import libtorrent as lt

settings = {
    "listen_interfaces": ",".join(a + ":" + sys.argv[2] for a in sys.argv[3:]),
    "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
    "enable_incoming_utp": False, "enable_outgoing_utp": False,
    "in_enc_policy": 2, "out_enc_policy": 2,  # plaintext, as everybody who is measured prefers
    "allow_multiple_connections_per_ip": True,
    "unchoke_slots_limit": -1,
    # As many as the fastest make that are measured here.
    "max_allowed_in_request_queue": 4000,
    "rate_limit_ip_overhead": False,
}
if sys.argv[1] == "large":
    # What the fastest take; the defaults are for thousands of peers.
    settings.update({"send_buffer_watermark": 4 << 20, "send_buffer_watermark_factor": 150})
session = lt.session(settings)
torrents = {}


def add(path, folder):
    params = lt.add_torrent_params()
    params.ti = lt.torrent_info(path)
    params.save_path = folder
    flags = lt.torrent_flags
    # The data is there and right: it made the torrent.
    params.flags = flags.seed_mode | flags.disable_dht | flags.disable_lsd | flags.disable_pex
    infohash = str(params.ti.info_hashes().v1)
    torrents[infohash] = session.add_torrent(params)
    return infohash


for line in sys.stdin:
    request = json.loads(line)
    if "add" in request:
        reply = add(request["add"], request["dir"])
    else:
        reply = torrents[request["uploaded"]].status().total_payload_upload
    print(json.dumps(reply), flush=True)
