"""Ports use the terms of the application, and adapters subclass their port."""

import ast
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import adapters
from application import ports

ROOT = Path(__file__).parents[2]
PORTS = {
    name: kind
    for module in pkgutil.iter_modules(ports.__path__, "application.ports.")
    for name, kind in vars(importlib.import_module(module.name)).items()
    if inspect.isclass(kind) and kind.__module__ == module.name and getattr(kind, "_is_protocol", False)
}
MODULES = [
    module.name for module in pkgutil.walk_packages(adapters.__path__, "adapters.") if ".migrations" not in module.name
]
VENDOR_WORDS = (
    "wechat|weixin|openid|code2session|errcode|redis|valkey|sql|sqlite|postgres|mysql|mariadb|table|row|column|key-?value"
    "|httpx2?|request|response|status|header|json|litestar|taskiq|msgspec|pydantic|fernet"
)


def adapter_classes() -> list[type]:
    """Return every public class that an adapter module defines."""
    loaded = [importlib.import_module(name) for name in MODULES]
    return [
        kind
        for module in loaded
        for name, kind in vars(module).items()
        if inspect.isclass(kind) and kind.__module__ == module.__name__ and not name.startswith("_")
    ]


def methods_of(port: type) -> set[str]:
    """Return the abstract methods of a port."""
    return set(getattr(port, "__abstractmethods__", ()))


adapters_of_ports = pytest.mark.parametrize(
    "adapter",
    [kind for kind in adapter_classes() if set(kind.__mro__) & set(PORTS.values())],
    ids=lambda kind: kind.__name__,
)


@pytest.mark.parametrize("kind", adapter_classes(), ids=lambda kind: kind.__name__)
def test_adapters_inherit_from_their_port(kind: type) -> None:
    """A class with the methods of a port is a subclass of the port."""
    looks_like = {name for name, port in PORTS.items() if all(_offers(kind, port, each) for each in methods_of(port))}

    assert {name for name in looks_like if PORTS[name] not in kind.__mro__} == set()


def _offers(kind: type, port: type, method: str) -> bool:
    offered = getattr(kind, method, None)
    wanted = inspect.signature(getattr(port, method)).parameters
    return callable(offered) and list(inspect.signature(offered).parameters) == list(wanted)


@pytest.mark.parametrize("port", PORTS)
def test_every_port_has_an_adapter(port: str) -> None:
    """Every port has an adapter."""
    assert [kind for kind in adapter_classes() if PORTS[port] in kind.__bases__]


@pytest.mark.parametrize(
    "port", [name for name in PORTS if name not in ("Probe", "Decryptor", "TokenSigner")]
)  # they need no substitute
def test_every_port_has_an_adapter_in_memory(port: str) -> None:
    """Every port has an adapter in memory, so that use cases can run without a server."""
    assert any(
        kind.__module__.startswith("adapters.memory.") for kind in adapter_classes() if PORTS[port] in kind.__bases__
    )


@adapters_of_ports
def test_an_adapter_is_named_for_its_port_and_technology(adapter: type) -> None:
    """`adapters/<technology>/<port>.py` has the class `<Technology><Port>`."""
    (port,) = (name for name, kind in PORTS.items() if kind in adapter.__bases__)
    _, technology, module = adapter.__module__.split(".")

    assert adapter.__name__.lower() == f"{technology}{port}".lower()
    assert module == re.sub(r"(?<!^)(?=[A-Z])", "_", port).lower()


@adapters_of_ports
def test_an_adapter_implements_every_method(adapter: type) -> None:
    """An adapter has every method of its port, with the port's parameters."""
    (port,) = (kind for kind in PORTS.values() if kind in adapter.__bases__)

    assert not inspect.isabstract(adapter)
    for method in methods_of(port):
        assert method in vars(adapter)
        assert inspect.signature(getattr(adapter, method)) == inspect.signature(getattr(port, method)), method


@pytest.mark.parametrize("port", PORTS)
def test_a_port_is_a_protocol_of_abstract_methods(port: str) -> None:
    """Every public method of a port is abstract."""
    public = {name for name, value in vars(PORTS[port]).items() if inspect.isfunction(value) and name != "__init__"}

    assert {name for name in public if not name.startswith("_")} == methods_of(PORTS[port])


def test_a_port_has_its_own_file() -> None:
    """`application/ports/<port>.py` has the port, and no other port."""
    assert {name: port.__module__ for name, port in PORTS.items()} == {
        name: "application.ports." + re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower() for name in PORTS
    }


def test_no_port_names_a_vendor() -> None:
    """No name, annotation or import of the ports is a word of a vendor, a database or a protocol."""
    names = set().union(*map(_names, (ROOT / "src/application/ports").glob("*.py")))

    assert {name for name in names if re.search(rf"(?:^|_)(?:{VENDOR_WORDS})s?(?:_|$)", _snake(name))} == set()
    assert {"find_or_create", "Session", "StoreUnavailable"} & names


def _names(path: Path) -> set[str]:
    """Return every identifier of a file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name) | ast.alias(name=name):
                names.add(name)
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
    return names


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace(".", "_").lower()
