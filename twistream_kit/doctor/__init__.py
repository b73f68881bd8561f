"""What this machine has of what the kit needs, and what follows from what it lacks.

It contacts no service, installs nothing and shows no value of a setting.  Begin with `doctor`.
"""
