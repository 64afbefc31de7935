"""``python -m repc.checker``: exit code 0 where the certificate holds, 1 where it does not, 2 for wrong input."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Sequence

from repc.checker.check import check
from repc.diagnostics import Failure
from repc.diagnostics.render import render


def main(argv: Sequence[str] | None = None) -> int:
    """Check one certificate and say what was found; the exit code is returned."""
    parser = ArgumentParser(prog="python -m repc.checker", description="Check a certificate of repc independently.")
    parser.add_argument("certificate", metavar="CERT", help="certificate.json of a compiled folder")
    parser.add_argument("--spec", required=True, help="FILE.rep[:MODEL], repc:NAME[/MODEL], FILE.onnx or FILE.pt2")
    parser.add_argument("--weights", help="checkpoint; without one, the file's own weights, or initial values")
    parser.add_argument("--container", metavar="NAME", help="which state_dict of the checkpoint")
    parser.add_argument("--adapter", metavar="PATH", help="the adapter that was attached")
    parser.add_argument("--artifact", required=True, help="the ONNX file")
    args = parser.parse_args(argv)
    try:
        findings = check(args.certificate, args.spec, args.weights, args.artifact, args.container, args.adapter)
    except Failure as failure:
        sys.stderr.write(render(failure.diagnostics))
        return 2
    for finding in findings:
        print(f"  {finding.name:<10}{'ok' if finding.holds else 'FAILED':<8}{finding.text}")
    holds = all(finding.holds for finding in findings)
    print(f"\n  {'VALID' if holds else 'NOT VALID'}")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
