"""What kazoo's users do, against the server named by the first argument; prints "done" when all of it held."""
import sys
import threading

from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError, NoNodeError
from kazoo.security import make_digest_acl

zk = KazooClient(hosts=sys.argv[1], timeout=10)
zk.start()
zk.ensure_path("/kz")
assert zk.create("/kz/a", b"1", ephemeral=True) == "/kz/a"
assert zk.create("/kz/s-", b"", sequence=True) == "/kz/s-0000000001"
assert zk.create("/kz/i", b"z", include_data=True)[1].version == 0

fired, seen = threading.Event(), []
zk.get("/kz/a", watch=lambda e: (seen.append(e), fired.set()))
zk.set("/kz/a", b"2")
assert fired.wait(5) and seen[0].type == "CHANGED"

t = zk.transaction()
t.check("/kz/a", 1)
t.create("/kz/t", b"x")
t.delete("/kz/none")
assert isinstance(t.commit()[-1], NoNodeError) and not zk.exists("/kz/t")
t = zk.transaction()
t.check("/kz/a", 1)
t.create("/kz/t", b"x")
t.delete("/kz/t")
assert t.commit() == [True, "/kz/t", True]

lock = zk.Lock("/kz/lock", "me")
with lock:
    assert lock.contenders() == ["me"]
queue = zk.Queue("/kz/q")
queue.put(b"j")
assert queue.get() == b"j"
elected = []
zk.Election("/kz/el", "x").run(lambda: elected.append(1))
assert elected

zk.add_auth("digest", "u:p")
zk.create("/kz/p", b"s", acl=[make_digest_acl("u", "p", all=True)])
other = KazooClient(hosts=sys.argv[1])
other.start()
try:
    other.get("/kz/p")
    raise AssertionError("a stranger reads a protected znode")
except NoAuthError:
    pass
other.stop()

zk.stop()
zk.start()
assert not zk.exists("/kz/a"), "an ephemeral outlived its session"
assert zk.command(b"ruok") == "imok" and zk.server_version() == (3, 8, 0)
zk.delete("/kz", recursive=True)
zk.stop()
print("done")
