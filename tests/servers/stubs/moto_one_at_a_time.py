"""Moto's server, one request at a time: its own threads share dictionaries without a lock, and a search among secrets that
meets the making of another one is answered with 500 ("dictionary changed size during iteration").

`python moto_one_at_a_time.py` with the options of `moto_server`.
"""

import threading

from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from moto.server import main

LOCK = threading.Lock()
call = DomainDispatcherApplication.__call__


def one_at_a_time(self, environ, start_response):
    with LOCK:
        return call(self, environ, start_response)


DomainDispatcherApplication.__call__ = one_at_a_time
main()
