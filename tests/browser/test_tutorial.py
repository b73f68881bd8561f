"""The tutorial in JupyterLab, as a person runs it."""

from __future__ import annotations

import time

import pytest
import pytest_asyncio

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_probe(open_notebook):
    t = time.time()
    nb = await open_notebook("notebooks/tutorial.ipynb")
    print("open", time.time() - t)
    t = time.time()
    await nb.run_all()
    print("run all", time.time() - t)
    for c in await nb.code_cells():
        print(c["source"][:40], c["state"], c["count"], [(o["output_type"], o.get("ename"), list(o.get("data", {}))) for o in c["outputs"]])
    print(nb.complaints)
    await nb.picture("probe")
    t = time.time()
    await nb.run_all()
    print("run all 2", time.time() - t)
    print(nb.complaints)
