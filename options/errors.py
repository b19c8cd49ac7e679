"""The errors of the whole house, sorted by who must act."""


class OptiondError(Exception):
    """Something the user has to know: the message says what was wrong, where, and what to do."""


class SettingsError(OptiondError):
    """The settings, the home folder or the command line must be changed."""


class RuleError(OptiondError):
    """The rules file must be changed."""


class BrokerError(OptiondError):
    """The broker refused, vanished or said something that cannot be right."""


class LakeError(OptiondError):
    """The lake or its journal cannot be read or written."""


class GateRefusal(OptiondError):
    """A gate refused an order; the message carries every failed check with value and limit."""
