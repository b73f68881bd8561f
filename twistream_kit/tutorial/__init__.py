"""A folder of one's own with the notebooks and samples, and JupyterLab in it.

It reads no account and places no call.  Begin with `folder`, then `jupyterlab`.
"""
