"""A layer's rotary embedding, KV cache and attention, some 150 nodes, become one `GroupQueryAttention`."""

import numpy as np
import onnx_ir as ir

from smolship.checkpoint.architecture import Architecture
from smolship.errors import SmolshipError
from smolship.export.onnx.passes import Pass
from smolship.export.onnx.passes.rotary_tables import rotary_tables
from smolship.export.onnx.passes.walk import CONTRIB, drop_unused, linears, swap
from smolship.export.onnx.weights import add_initializer

MASK, POSITIONS = "attention_mask", "position_ids"
LENGTHS, TOTAL = "attention.last", "attention.total"


def grouped_attention(a: Architecture) -> Pass:
    """The pass that puts the operator between the stand-ins for q, k, v and o of every layer.

    A layer is known by the names of its stand-ins and of its cache. What stood between them may depend on nothing but
    q, k, v, that cache, the mask, the positions and shapes, and has one softmax: `SmolshipError` names the layer if
    there is more. That both compute the same is proved on numbers (tests; benchmarks/onnx_proof.py).

    The operator takes each row's last position from the mask's sum, and writes into the cache that it is given where a
    client gives it as output, too. A token's position is the number of tokens before it: `position_ids` stays an input,
    because clients give it, and is not read. (Rotary embeddings see differences alone. Reading it costs 2 to 4 % of
    decoding, and of a prompt the CPU kernel of onnxruntime 1.32 reads the first position only.)
    """

    def run(model: ir.Model) -> tuple[ir.Model, bool]:
        graph = model.graph
        found = linears(graph)
        layers = [i for i in range(a.layers) if f"{_layer(i)}o_proj.weight" in found and _attends(graph, i)]
        if not layers:
            return model, False
        lengths = _lengths(graph)
        for i in layers:
            _replace(graph, found, i, a, lengths)
        model.opset_imports[CONTRIB] = 1
        drop_unused(graph)
        return model, True

    return run


def _layer(i: int) -> str:
    return f"model.layers.{i}.self_attn."


def _attends(graph: ir.Graph, i: int) -> bool:
    """Whether attention of that layer is there and spelled out."""
    made = next((value.producer() for value in graph.outputs if value.name == f"present.{i}.key"), None)
    return made is not None and made.op_type != "GroupQueryAttention"


def _replace(
    graph: ir.Graph, found: dict[str, ir.Node], i: int, a: Architecture, lengths: tuple[ir.Value, ir.Value]
) -> None:
    q, k, v = (found[f"{_layer(i)}{name}_proj.weight"].outputs[0] for name in "qkv")
    o = found[f"{_layer(i)}o_proj.weight"]
    given = {value.name: value for value in graph.inputs}
    past = [given[f"past_key_values.{i}.{name}"] for name in ("key", "value")]
    present = [value for name in ("key", "value") for value in graph.outputs if value.name == f"present.{i}.{name}"]
    mixed = o.inputs[0]
    if mixed is None:
        raise SmolshipError(f"layer {i} of the traced graph has an output projection of nothing")
    _check(i, [mixed, *present], {q, k, v, *past, given[MASK], given[POSITIONS]})
    attributes = {
        "num_heads": a.heads, "kv_num_heads": a.kv_heads, "scale": a.head_dim**-0.5,
        "do_rotary": 1, "rotary_interleaved": 0,
    }  # fmt: skip
    inputs = [q, k, v, *past, *lengths, *rotary_tables(graph, a)]
    name = f"/{_layer(i).replace('.', '/')}attention"
    node = ir.node("GroupQueryAttention", inputs, attributes, domain=CONTRIB, name=name, num_outputs=3)
    swap(graph, o, [node], dict(zip([mixed, *present], node.outputs, strict=True)))


def _check(i: int, ends: list[ir.Value], leaves: set[ir.Value]) -> None:
    """`SmolshipError` unless nothing but `leaves` and constants flows into `ends`, through one softmax a layer."""
    seen, softmaxes, strangers = set[ir.Value](), 0, list[str]()
    waiting = list(ends)
    while waiting:
        value = waiting.pop()
        if value in seen or value in leaves:
            continue
        seen.add(value)
        producer = value.producer()
        if producer is None:
            strangers += [] if value.is_initializer() else [str(value.name)]
            continue
        softmaxes += producer.op_type == "Softmax"
        if producer.op_type != "Shape":  # a shape says nothing of what a value is
            waiting += [each for each in producer.inputs if each is not None]
    if strangers or softmaxes != 1:
        raise SmolshipError(
            f"layer {i} of the traced graph is no attention that is known here: {softmaxes} softmaxes, "
            f"and it reads {', '.join(sorted(strangers)) or 'what it should'}"
        )


def _lengths(graph: ir.Graph) -> tuple[ir.Value, ir.Value]:
    """What the operator wants of the mask [batch, total]: each row's last position, int32 [batch], and the total."""
    mask = next(value for value in graph.inputs if value.name == MASK)
    one = add_initializer(graph, "attention.axis", np.array([1], np.int64))
    scalar = add_initializer(graph, "attention.one", np.array(1, np.int64))
    summed = ir.node("ReduceSum", [mask, one], {"keepdims": 0}, name="attention/tokens")
    less = ir.node("Sub", [summed.outputs[0], scalar], name="attention/last")
    last = ir.node("Cast", [less.outputs[0]], {"to": ir.DataType.INT32}, name=LENGTHS)
    shape = ir.node("Shape", [mask], name="attention/shape")
    width = ir.node("Gather", [shape.outputs[0], scalar], name="attention/width")
    total = ir.node("Cast", [width.outputs[0]], {"to": ir.DataType.INT32}, name=TOTAL)
    graph.insert_before(graph[0], [summed, less, last, shape, width, total])
    return last.outputs[0], total.outputs[0]
