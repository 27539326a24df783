"""What a service tells at /metrics, read as Prometheus reads it."""

from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from support.plain_http import ask


class Scrape(NamedTuple):
    """Every sample of one scrape, by name and labels."""

    samples: dict[tuple[str, frozenset[tuple[str, str]]], float]

    @classmethod
    def of(cls, text: str) -> "Scrape":
        """The samples in the text. Two with the same name and labels are none."""
        found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        samples = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in found}
        assert len(samples) == len(found)
        return cls(samples)

    def value(self, name: str, **labels: str) -> float:
        """The sample with exactly these labels; 0 when there is none."""
        return self.samples.get((name, frozenset(labels.items())), 0)

    def total(self, name: str, **labels: str) -> float:
        """The sum of the samples that have these labels among theirs."""
        return sum(value for (known, its), value in self.samples.items() if known == name and its >= labels.items())

    def labels(self) -> dict[str, set[str]]:
        """By metric, the names of its labels; buckets, sums and counts are a histogram's."""
        told: dict[str, set[str]] = {}
        for name, labels in self.samples:
            told.setdefault(name, set()).update(label for label, _ in labels)
        return told

    def values(self, label: str) -> set[str]:
        """All values of a label, whatever the metric."""
        return {value for _, labels in self.samples for name, value in labels if name == label}


def scrape(url: str) -> Scrape:
    """One scrape, on a connection of its own: any of several processes may answer."""
    return Scrape.of(ask(f"{url}/metrics").raise_for_status().text)
