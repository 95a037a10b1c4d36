"""create.py PATH VERSION PIECE_SIZE: prints a torrent of PATH, in VERSION v1, v2 or hybrid."""

import os
import sys

import libtorrent

path, version, piece_size = sys.argv[1], sys.argv[2], int(sys.argv[3])
flags = {
    "v1": libtorrent.create_torrent.v1_only,
    "v2": libtorrent.create_torrent.v2_only,
    "hybrid": 0,
}[version]

files = libtorrent.file_storage()
libtorrent.add_files(files, path)
torrent = libtorrent.create_torrent(files, piece_size, flags=flags)
libtorrent.set_piece_hashes(torrent, os.path.dirname(path))
sys.stdout.buffer.write(libtorrent.bencode(torrent.generate()))
