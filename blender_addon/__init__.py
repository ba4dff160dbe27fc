"""Everything that runs inside Blender. Importing this package needs no bpy; registering it does."""


def register() -> None:
    from . import cli, tool, ui

    tool.register()
    ui.register()
    cli.register()


def unregister() -> None:
    from . import cli, tool, ui

    cli.unregister()
    ui.unregister()
    tool.unregister()
