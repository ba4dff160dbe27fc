"""Plain Python: the run of a job, frame maps, the engine's child process and its environment. Never imports bpy."""
