"""wait.py [FOLDER [SECONDS]]: waits for a gate that is open on a proof. The reader is examples/gate.py."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from gate import NoPage, Page

folder = sys.argv[1] if len(sys.argv) > 1 else "/run/clockgate/public"
seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 60.0
try:
    page = Page(f"{folder}/gate")
    state = page.wait(seconds)
    if state is None:
        print(f"still shut: {page.read().why}", file=sys.stderr)
        sys.exit(75)
except NoPage as error:
    print(error, file=sys.stderr)
    sys.exit(69)
print(f"wrong by at most {state.bound * 1e3:.3f} ms")
