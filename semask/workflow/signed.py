"""What signing this machine's bundle takes, and verifying those of others."""

from pathlib import Path

from semask.fetching import signatures
from semask.workflow.plan import Plan


def signing_key(plan: Plan) -> list[str]:
    """Key that this machine's bundle is signed with, if it is.

    InputError where it is not there, or nothing that could sign with it.
    """
    key = plan.config["bundle"]["sign"]
    if key is None:
        return []
    signatures.check_key(Path(key))
    return [key]


def signature(plan: Plan, bundle: str) -> list[str]:
    """A bundle's signature and the list of allowed signers; nothing where no list is given.

    InputError where one of them is not there, or nothing that could verify.
    """
    signers, file = plan.config["imports"]["allowed_signers"], Path(plan.bundle(bundle))
    if signers is None:
        return []
    signatures.check_signed(file, Path(signers))
    return [str(signatures.signature_of(file)), signers]
