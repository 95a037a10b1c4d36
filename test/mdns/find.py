"""Finds services with python3-zeroconf, and prints what comes and goes, a line of JSON each.

find.py ADDRESS TYPE...          looks by the interface with the address
find.py ADDRESS -take NAME PORT  has a service of that name, until it ends
"""

import json
import sys

from zeroconf import IPVersion, ServiceBrowser, ServiceInfo, Zeroconf


class Listener:
    def tell(self, event, zc, kind, name):
        told = {"event": event, "name": name}
        if event != "gone":
            info = zc.get_service_info(kind, name, timeout=3000)
            if info is None:
                return
            told.update(
                host=info.server,
                port=info.port,
                addresses=info.parsed_addresses(IPVersion.All),
                text={k.decode(): v.decode() for k, v in info.properties.items()},
            )
        print(json.dumps(told), flush=True)

    def add_service(self, zc, kind, name):
        self.tell("there", zc, kind, name)

    def update_service(self, zc, kind, name):
        self.tell("there", zc, kind, name)

    def remove_service(self, zc, kind, name):
        self.tell("gone", zc, kind, name)


address, arguments = sys.argv[1], sys.argv[2:]
zc = Zeroconf(interfaces=[address])
if arguments[0] == "-take":
    _, name, port = arguments
    kind = name.split(".", 1)[1]
    zc.register_service(ServiceInfo(kind, name, port=int(port), server="other.local.", parsed_addresses=[address]))
    print(json.dumps({"event": "taken", "name": name}), flush=True)
else:
    ServiceBrowser(zc, arguments, Listener())
    print(json.dumps({"event": "ready"}), flush=True)
sys.stdin.read()
zc.close()
