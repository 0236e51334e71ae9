"""Recorded runs of the Go client (by their line, from 0) that hyperctl answers differently on purpose, and why."""

_NO_DAEMON = "without a daemon the directories are read and said so; the Go client gave up"
_WHOLE_NAMES = "an ID is shown whole, so that it can be copied into another command"
_STATUS_LOOKED_AT = "an error reply is an error, shown with the daemon's own words"
_NOT_OURS = "what answers is not hypersdkd, which counts as no daemon: the directories are read"
_FILE_ANYWHERE = "-file F works wherever it stands, as the documentation types it"
_ONE_SET_OF_RULES = "hyperctl and the daemon have one set of rules, with the API's phrases"
_TYPE_IS_A_PROBLEM = "a wrong type is a problem with its place and remedy like any other, not a parse error"

DEPARTURES: dict[int, str] = {
    1: _NO_DAEMON,
    4: _NO_DAEMON,
    5: "the queue that exists is shown, not always the disk mode's",
    9: _WHOLE_NAMES,
    14: "Go's -daemon is understood, as --url",
    15: "--json exists, with one dash or two",
    21: _STATUS_LOOKED_AT,
    22: _STATUS_LOOKED_AT,
    23: _NOT_OURS,
    24: _NOT_OURS,
    25: _STATUS_LOOKED_AT,
    26: _STATUS_LOOKED_AT,
    28: _WHOLE_NAMES,
    31: "the actions are named in one line; --help tells the rest",
    34: _FILE_ANYWHERE,
    37: _FILE_ANYWHERE,
    38: "the first word is a file where -action names the action",
    39: "the first word is a file where -action names the action",
    43: _ONE_SET_OF_RULES,
    49: _TYPE_IS_A_PROBLEM,
    50: _ONE_SET_OF_RULES,
    51: _TYPE_IS_A_PROBLEM,
    52: "keys are matched exactly, as the daemon does",
    54: _FILE_ANYWHERE,
    57: "YAML can be submitted",
    58: _ONE_SET_OF_RULES,
    63: "-h shows the help",
}
