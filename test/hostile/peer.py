"""peer.py seed|leech TORRENT DIR IP PORT [PEER_IP PEER_PORT PIECES]: a peer by libtorrent that listens on IP:PORT.

seed prints "ready" once it seeds all of DIR, and goes on. leech downloads into DIR from the one peer until it has PIECES
pieces, and prints how many failed their hash and how many peers were banned.
"""

import sys
import time

import libtorrent

mode, torrent, directory, ip, port = sys.argv[1:6]
session = libtorrent.session({
    "listen_interfaces": f"{ip}:{port}",
    "outgoing_interfaces": "",
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_incoming_utp": False,
    "enable_outgoing_utp": False,
    "allow_multiple_connections_per_ip": True,
    "alert_mask": libtorrent.alert.category_t.all_categories & ~libtorrent.alert.category_t.peer_log_notification,
    "alert_queue_size": 100000,
    "min_reconnect_time": 1,
})
parameters = libtorrent.add_torrent_params()
parameters.ti = libtorrent.torrent_info(torrent)
parameters.save_path = directory
parameters.flags &= ~libtorrent.torrent_flags.auto_managed
parameters.flags &= ~libtorrent.torrent_flags.paused
handle = session.add_torrent(parameters)

if mode == "seed":
    while not handle.status().is_seeding:
        time.sleep(0.05)
    print("ready", flush=True)
    while True:
        time.sleep(1)

peer, want = (sys.argv[6], int(sys.argv[7])), int(sys.argv[8])
failed = banned = 0
while True:
    for alert in session.pop_alerts():
        failed += isinstance(alert, libtorrent.hash_failed_alert)
        banned += isinstance(alert, libtorrent.peer_ban_alert)
    status = handle.status()
    if status.num_pieces >= want:
        break
    if status.num_peers == 0:
        handle.connect_peer(peer)
    time.sleep(0.05)
print(f"pieces {status.num_pieces} failed {failed} banned {banned}", flush=True)
