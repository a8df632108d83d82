# The embedded default's raw data; for real datasets `rooms` is null and these rules make nothing.
if PARAMS.rooms is not None:

    rule make_room:
        output:
            room_files(RAW, "{scene}"),
        log:
            "logs/make_room/{scene}.log",
        params:
            settings=settings(*ROOM_SETTINGS),
        shell:
            "python -m pipeline make-room {wildcards.scene} > {log} 2>&1"
