# The embedded default's raw data; for real datasets `rooms` is null and these rules make nothing.
if PARAMS.rooms is not None:
    from pipeline.scenes.writers import room_files  # with all of numba

    LABELLED = READERS[PARAMS.labelled.reader].scene_files(
        expand(PARAMS.labelled.raw_dir), "{scene}"
    )
    # How many rooms there are does not change a room: adding rooms makes only the new ones.
    ROOM_SETTINGS = [
        f"rooms.{key}"
        for key in type(PARAMS.rooms).model_fields
        if key not in ("n_train", "n_validation")
    ]

    rule make_room:
        output:
            room_files(RAW, "{scene}"),
            [path if path.suffix else directory(path) for path in LABELLED],
        log:
            "logs/make_room/{scene}.log",
        params:
            code=code_of("make_room"),
            settings=PARAMS.values(*ROOM_SETTINGS),
        shell:
            "python -m pipeline make-room {wildcards.scene:q} > {log:q} 2>&1"

    rule write_splits:
        output:
            SPLITS,
            RAW / "scannetv2-labels.combined.tsv",
        log:
            "logs/write_splits.log",
        params:
            code=code_of("make_room"),
            settings=PARAMS.values("rooms.n_train", "rooms.n_validation"),
        shell:
            "python -m pipeline make-room --splits > {log:q} 2>&1"
