import importlib

from mien.commands import doctor


def test_a_broken_import_is_a_finding_with_its_remedy(monkeypatch):
    original = importlib.import_module

    def broken(name, *rest):
        if name == "cv2":
            raise ImportError("libGL.so.1: cannot open shared object file")
        return original(name, *rest)

    monkeypatch.setattr(importlib, "import_module", broken)
    [finding] = [f for f in doctor.examine(None) if "OpenCV" in f.text]
    assert not finding.good
    assert finding.needed
    assert "libGL.so.1" in str(finding)
    assert "opencv-contrib-python-headless" in str(finding)


def test_what_is_not_needed_does_not_fail(monkeypatch, capsys):
    findings = [doctor.Finding(True, "a"), doctor.Finding(False, "b", "mend", needed=False)]
    monkeypatch.setattr(doctor, "examine", lambda weights: findings)
    assert doctor.run(doctor.Command()) == 0
    assert "✗ b\n    to mend it: mend\n" in capsys.readouterr().out


def test_what_is_needed_fails(monkeypatch):
    monkeypatch.setattr(doctor, "examine", lambda weights: [doctor.Finding(False, "a", "mend")])
    assert doctor.run(doctor.Command()) == 1
