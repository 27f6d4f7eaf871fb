"""Runs the program: its log becomes progress and messages, Cancel becomes a signal, its errors become those of Processing."""

import json
import os
import queue
import shlex
import signal
import subprocess
import threading

from qgis.core import QgsProcessingException

from . import binary

# Seconds that a cancelled program has to end in order: it finishes what it writes, so that the run can be resumed.
PATIENCE = 60


def run(arguments, feedback, folder=None):
    """Runs the program with these arguments. Returns the objects of its log, summaries among them, and the plain lines."""
    path = binary.find()
    if path is None:
        raise QgsProcessingException(binary.HOW_TO_GET)
    command = [path, "--log", "json"] + arguments
    feedback.pushCommandInfo(" ".join(shlex.quote(part) for part in [path] + arguments))
    try:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=folder,
            env=binary.environment(), **binary.hidden()
        )
    except OSError as error:
        raise QgsProcessingException("{} cannot be started: {}".format(path, error)) from error
    lines = queue.Queue()
    readers = [threading.Thread(target=_read, args=(stream, lines), daemon=True) for stream in (process.stdout, process.stderr)]
    for reader in readers:
        reader.start()
    log = _Log(feedback)
    open_streams, cancelled = len(readers), False
    while open_streams:
        if feedback.isCanceled() and not cancelled:
            cancelled = True
            _stop(process)
            feedback.pushInfo("Cancelled: the program ends in order; the same run resumes where it was.")
        try:
            line = lines.get(timeout=0.2)
        except queue.Empty:
            continue
        if line is None:
            open_streams -= 1
        else:
            log.line(line)
    code = process.wait()
    if cancelled:
        raise QgsProcessingException("Cancelled.")
    # Exit code 3: finished, with windows that could not be computed, as the notes say.
    if code not in (0, 3):
        raise QgsProcessingException(log.failure or "segearth ended with the exit code {}.".format(code))
    return log


def _read(stream, lines):
    for line in iter(stream.readline, b""):
        lines.put(line.decode("utf-8", "replace").rstrip("\r\n"))
    lines.put(None)


def _stop(process):
    """Asks the program to end in order, and ends it where it does not."""
    process.send_signal(signal.SIGINT if os.name != "nt" else signal.SIGTERM)

    def insist():
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()

    threading.Thread(target=insist, daemon=True).start()


class _Log:
    """What the program has said."""

    def __init__(self, feedback):
        self.feedback = feedback
        self.failure = None
        self.summaries = []
        self.lines = []

    def line(self, line):
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if not isinstance(entry, dict) or "event" not in entry:
            if line.strip():
                self.lines.append(line)
                self.feedback.pushConsoleInfo(line)
            return
        event, message = entry["event"], entry.get("message", "")
        if event == "error":
            parts = [message] + list(entry.get("causes") or [])
            self.failure = ": ".join(parts) + ("\nHint: " + entry["hint"] if entry.get("hint") else "")
            self.feedback.reportError(self.failure, False)
        elif event == "progress":
            total = entry.get("total") or 0
            if total:
                self.feedback.setProgress(100.0 * entry.get("done", 0) / total)
            self.feedback.setProgressText(message)
        elif event == "note":
            self.feedback.pushWarning(message) if hasattr(self.feedback, "pushWarning") else self.feedback.pushInfo(message)
        elif event == "detail" or event == "gdal":
            self.feedback.pushDebugInfo(message)
        else:
            if event == "summary":
                self.summaries.append(entry)
            self.feedback.pushInfo(message)

    def outputs(self):
        """Kind and path of each output of all scenes."""
        return [(one["what"], one["path"]) for summary in self.summaries for one in summary.get("outputs", [])]
