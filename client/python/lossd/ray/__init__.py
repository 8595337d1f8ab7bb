"""A fleet of servers on Ray: one on each node, for trainers on all of them.

```python
import lossd.ray
import ray

ray.init()
with lossd.ray.start() as fleet:
    client = fleet.client()  # in any task or actor: lossd.ray.client()
```

Nodes that come get a server, and those that go are forgotten; the clients follow by themselves.
"""

import importlib.util

from lossd import extras

if importlib.util.find_spec("ray") is None:
    raise extras.missing("lossd.ray", "ray", "ray")

from lossd.ray.fleet import Fleet, client, start
from lossd.ray.state import Server

__all__ = ["start", "client", "Fleet", "Server"]
