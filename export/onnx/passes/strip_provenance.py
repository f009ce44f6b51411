"""Nothing of the machine or the run stays in the file."""

import onnx_ir as ir

PRODUCER = "smolship"


def strip_provenance(model: ir.Model) -> tuple[ir.Model, bool]:
    """Drop doc strings, node metadata and unused domains, and name the producer; tracing leaves source paths there."""
    changed = model.producer_name != PRODUCER or "smolship" in model.opset_imports
    model.producer_name, model.producer_version, model.doc_string = PRODUCER, None, None
    model.graph.doc_string = None
    model.opset_imports.pop("smolship", None)
    for node in model.graph.all_nodes():
        changed |= bool(node.doc_string or node.metadata_props)
        node.doc_string = None
        node.metadata_props.clear()
        for value in node.outputs:
            changed |= bool(value.doc_string or value.metadata_props)
            value.doc_string = None
            value.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        changed |= bool(value.doc_string or value.metadata_props)
        value.doc_string = None
        value.metadata_props.clear()
    return model, changed
