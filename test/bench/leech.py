# Downloads a torrent in order with libtorrent, for test/bench.
#
# On standard input it takes a JSON object with Torrent (the path of a .torrent file), Peer (who has it, as
# host:port) and Dir (where to put it). When it has all of it, it prints another one: the time until the first
# piece was there, and from then to the last, in nanoseconds, and the bytes.
import json
import sys
import time

import libtorrent as lt

task = json.load(sys.stdin)
session = lt.session({
    "listen_interfaces": "127.0.0.1:0",
    "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
    "enable_incoming_utp": False, "enable_outgoing_utp": False,
    "in_enc_policy": 2, "out_enc_policy": 2,
    # Its defaults are for many slow peers; here there is one, which is fast.
    "max_out_request_queue": 2000, "max_queued_disk_bytes": 64 << 20,
})
params = lt.add_torrent_params()
params.ti = lt.torrent_info(task["Torrent"])
params.save_path = task["Dir"]
flags = lt.torrent_flags
params.flags = flags.sequential_download | flags.disable_dht | flags.disable_lsd | flags.disable_pex

begin = time.monotonic_ns()
handle = session.add_torrent(params)
host, port = task["Peer"].rsplit(":", 1)
handle.connect_peer((host, int(port)))
first = None
while True:
    if first is None and handle.have_piece(0):
        first = time.monotonic_ns()
    if handle.status().is_seeding:
        break
    time.sleep(0.005)
end = time.monotonic_ns()
print(json.dumps({"Pace": {
    "First": first - begin, "Elapsed": end - first, "Bytes": params.ti.total_size(),
}}))
