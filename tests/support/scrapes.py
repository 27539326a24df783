"""The metrics of a service at /metrics, parsed as Prometheus does."""

from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from support.plain_http import fetch


class Scrape(NamedTuple):
    """All samples of one scrape, by name and labels."""

    samples: dict[tuple[str, frozenset[tuple[str, str]]], float]

    @classmethod
    def of(cls, text: str) -> "Scrape":
        """Return the samples in the text. Two samples with the same name and labels are an error."""
        found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        samples = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in found}
        assert len(samples) == len(found)
        return cls(samples)

    def value(self, name: str, **labels: str) -> float:
        """Return the sample with exactly these labels, or 0."""
        return self.samples.get((name, frozenset(labels.items())), 0)

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of the samples that have at least these labels."""
        return sum(value for (known, its), value in self.samples.items() if known == name and its >= labels.items())

    def labels(self) -> dict[str, set[str]]:
        """Return the label names of each metric. Buckets, sums and counts belong to a histogram."""
        told: dict[str, set[str]] = {}
        for name, labels in self.samples:
            told.setdefault(name, set()).update(label for label, _ in labels)
        return told

    def values(self, label: str) -> set[str]:
        """Return all values of a label in all metrics."""
        return {value for _, labels in self.samples for name, value in labels if name == label}


def scrape(url: str) -> Scrape:
    """Scrape once on a new connection. Any of several processes may answer."""
    return Scrape.of(fetch(f"{url}/metrics").raise_for_status().text)
