"""Names of the embedded rooms, in ScanNet's form."""


def training_rooms(n_train: int) -> list[str]:
    """Scene names in scannetv2_train.txt."""
    return [f"scene{number:04d}_00" for number in range(n_train)]


def validation_rooms(n_train: int, n_validation: int) -> list[str]:
    """Scene names in scannetv2_val.txt."""
    return [f"scene{number:04d}_00" for number in range(n_train, n_train + n_validation)]
