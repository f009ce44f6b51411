"""The verbs: parse, call a workflow, print; what each option is stands in `smolship.options`."""
