"""Equal layers are traced once: the graph of one of a form is repeated with the weights and names of the others.

All that torch.export and ExecuTorch do in front of the delegates takes time by the operator, and a layer's part of the
graph depends on the layer's form alone. So a decoder with one layer of each form is traced and brought into
ExecuTorch's edge dialect, and there its graph becomes that of the whole decoder. The first layer stands for itself.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any, cast

from executorch.exir.pass_base import ExportedProgramPassBase, ExportedProgramPassResult
from torch import nn
from torch.export import ExportedProgram
from torch.export.graph_signature import ExportGraphSignature, InputSpec, OutputSpec, TensorArgument
from torch.fx import Graph, GraphModule, Node

from smolship.errors import RuntimeFailure
from smolship.export.executorch.layers import FixedSplit

OUTSIDE = -1
"""in the place of a layer's number: what belongs to none"""
_LAYER = re.compile(r"^layers\.(\d+)\b")


def one_of_each(layers: nn.ModuleList) -> tuple[nn.ModuleList, list[int]]:
    """The layers to trace, and for each layer of the decoder the place among them of the one with its form."""
    forms: dict[Any, int] = {}
    chosen, pattern = nn.ModuleList(), list[int]()
    for number, layer in enumerate(layers):
        place = forms.setdefault((number == 0, _form(layer)), len(forms))
        if place == len(chosen):
            chosen.append(layer)
        pattern.append(place)
    return chosen, pattern


def _form(layer: nn.Module) -> tuple[Any, ...]:
    """All of a layer that its graph can show, but for the bounds of fixed splits, which are set in each copy."""
    modules = []
    for path, module in layer.named_modules():
        own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        tensors = tuple((name, tuple(tensor.shape), tensor.dtype) for name, tensor in own)
        numbers = {name: value for name, value in vars(module).items() if not name.startswith("_")}
        if isinstance(module, FixedSplit):
            del numbers["bound"]
        modules.append((path, type(module), tensors, repr(sorted(numbers.items()))))
    return tuple(modules)


class Repeated(ExportedProgramPassBase):  # type: ignore[misc]
    """From the program of a decoder with the layers that `one_of_each` chose, that of the decoder with all `layers`.

    It is the one that a trace of them all gives, but for the names of constants. `RuntimeFailure` if the graph does
    not fall into layers that hand on one tensor each.
    """

    def __init__(self, layers: nn.ModuleList, pattern: list[int]) -> None:
        self.layers, self.pattern = layers, pattern

    def call(self, exported_program: ExportedProgram) -> ExportedProgramPassResult:
        repeats = len(set(self.pattern)) < len(self.pattern)
        program = _Copy(exported_program, self.layers, self.pattern).program() if repeats else exported_program
        return ExportedProgramPassResult(program, repeats)


class _Copy:
    """One new program in the making."""

    def __init__(self, old: ExportedProgram, layers: nn.ModuleList, pattern: list[int]) -> None:
        self.old, self.layers, self.pattern = old, layers, pattern
        self.owners = _owners(old)
        self.exits = _exits(self.owners, len(set(pattern)))
        self.graph = Graph()
        self.nodes: dict[tuple[int, Node], Node] = {}
        """the new nodes, by the layer that they are for (or `OUTSIDE`) and the old node"""
        self.weights = {f"layers.{name}": tensor for name, tensor in layers.state_dict().items()}
        self.state = {name: tensor for name, tensor in old.state_dict.items() if not _LAYER.match(name)}
        self.handles: dict[tuple[int, int], int] = {}

    def program(self) -> ExportedProgram:
        graph, signature = self.old.graph, self.old.graph_signature
        placeholders = {node.name: node for node in graph.nodes if node.op == "placeholder"}
        inputs = [
            self._input(number, placeholders[spec.arg.name], spec)
            for number, spec in self._of_all(signature.input_specs, lambda spec: placeholders[spec.arg.name])
        ]
        calls = [node for node in graph.nodes if node.op == "call_function"]
        for number, node in self._of_all(calls, lambda node: node):
            self._call(number, node)
        results = cast("Iterable[Node]", graph.output_node().args[0])
        pairs = zip(signature.output_specs, results, strict=True)
        outputs = [
            (self._new(number, node), spec.kind, _renumbered(spec.target, number))
            for number, (spec, node) in self._of_all(pairs, lambda pair: pair[1])
        ]
        self.graph.output(tuple(node for node, _, _ in outputs)).meta = dict(graph.output_node().meta)
        specs = [OutputSpec(kind, TensorArgument(node.name), target) for node, kind, target in outputs]
        module = GraphModule(nn.Module(), self.graph)
        module.meta = dict(self.old.graph_module.meta)
        return ExportedProgram(
            root=module,
            graph=module.graph,
            graph_signature=ExportGraphSignature(inputs, specs),
            state_dict=self.state,
            range_constraints=self.old.range_constraints,
            module_call_graph=self.old.module_call_graph,
            example_inputs=self.old.example_inputs,
            constants=self.old.constants,
            verifiers=[self.old.verifier],
        )

    def _of_all(self, items: Iterable[Any], node_of: Callable[[Any], Node]) -> list[tuple[int, Any]]:
        """The items that the whole decoder has, each with its layer: all layers' stand where the first one's stood."""
        found, owned = list[tuple[int, Any]](), dict[int, list[Any]]()
        place = 0
        for item in items:
            owner = self.owners[node_of(item)]
            if owner == OUTSIDE:
                found.append((OUTSIDE, item))
            else:
                place = place if owned else len(found)
                owned.setdefault(owner, []).append(item)
        found[place:place] = [(number, item) for number, k in enumerate(self.pattern) for item in owned.get(k, [])]
        return found

    def _input(self, number: int, node: Node, spec: InputSpec) -> InputSpec:
        target = _renumbered(spec.target, number)
        if number != OUTSIDE and target is not None:
            if (weight := self.weights.get(target)) is None:  # a number in the layer's arithmetic, made a constant
                target, weight = f"{target}_of_{number}", self.old.state_dict[target]
            self.state[target] = weight
        new = self.graph.placeholder(node.name if target == spec.target else f"b_{target}".replace(".", "_"))
        new.meta = dict(node.meta)
        self.nodes[number, node] = new
        return InputSpec(spec.kind, TensorArgument(new.name), target, spec.persistent)

    def _call(self, number: int, node: Node) -> None:
        new = self.graph.node_copy(node, lambda source: self._new(number, source))
        self.nodes[number, node] = new
        if number != OUTSIDE and (path := _module_of(node)):
            module = self.layers.get_submodule(path.replace(f"layers.{self.pattern[number]}", str(number), 1))
            if isinstance(module, FixedSplit) and not isinstance(node.args[1], Node):
                new.args = (new.args[0], *module.limits)
        # in the order in which ExecuTorch gives them: the delegates' data hold them
        new.meta["debug_handle"] = self.handles.setdefault((number, node.meta["debug_handle"]), len(self.handles) + 1)

    def _new(self, number: int, node: Node) -> Node:
        """What stands for `node` where it is read in layer `number`, or outside."""
        owner = self.owners[node]
        if owner == OUTSIDE:
            return self.nodes[OUTSIDE, node]
        if number != OUTSIDE and owner == self.pattern[number]:
            return self.nodes[number, node]
        before = len(self.pattern) - 1 if number == OUTSIDE else number - 1
        return self.nodes[before, self.exits[self.pattern[before]]]


def _renumbered(target: str | None, number: int) -> str | None:
    return target if target is None or number == OUTSIDE else _LAYER.sub(f"layers.{number}", target)


def _layer(path: str) -> int:
    match = _LAYER.match(path)
    return int(match[1]) if match else OUTSIDE


def _module_of(node: Node) -> str:
    """The path of the module that a node comes from; the decoder's own is empty."""
    stack = node.meta.get("nn_module_stack") or {"": ("", None)}
    return str(list(stack.values())[-1][0])


def _owners(program: ExportedProgram) -> dict[Node, int]:
    """The layer of each node of the graph, or `OUTSIDE`."""
    targets = {spec.arg.name: spec.target or "" for spec in program.graph_signature.input_specs}
    owners = {n: _layer(targets[n.name]) for n in program.graph.nodes if n.op == "placeholder"}
    owners |= {n: _layer(_module_of(n)) for n in program.graph.nodes if n.op == "call_function"}
    for node in owners:
        if node.op == "placeholder" and targets[node.name].startswith("_lifted_tensor_constant"):
            readers = {owners.get(user, OUTSIDE) for user in node.users}
            owners[node] = readers.pop() if len(readers) == 1 else OUTSIDE
    return owners


def _exits(owners: dict[Node, int], count: int) -> dict[int, Node]:
    """What each of `count` layers hands to the next, the last one to what follows them."""
    exits: dict[int, Node] = {}
    for node, reader in owners.items():
        for source in node.all_input_nodes:
            layer = owners[source]
            following = layer + 1 if layer + 1 < count else OUTSIDE
            if layer not in (reader, OUTSIDE) and (
                reader != following or exits.setdefault(layer, source) is not source
            ):
                raise RuntimeFailure(f"{source} leaves layer {layer} elsewhere; use the ExecuTorch of the lock file")
    if missing := set(range(count)) - exits.keys():
        raise RuntimeFailure(f"nothing leaves layers {sorted(missing)}; use the ExecuTorch of the lock file")
    return exits
