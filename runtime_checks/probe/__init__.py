"""The probe: measures one artefact in a process of its own and prints records, one JSON object a line.

It is copied as files and run as `python -m probe job.json`, here or on a device, so it imports the standard library,
numpy and the artefact's runtime, and nothing of `smolship`.
"""
