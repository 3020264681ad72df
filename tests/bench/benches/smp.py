"""What several cpus cost: the same work by one, two and four, which take turns on one thread."""
from .execution import Ours, calibrate
from .measure import Sample, table

CPUS = (1, 2, 4)
FEW = 20


class Several(Ours):
    def __init__(self, setup, cpus):
        super().__init__(setup, "smp")
        self.cpus = cpus

    def run(self, passes):
        result, stats = self.setup.run_ours(["--smp", str(self.cpus), "--kernel", self.program,
                                             "--append", str(passes)], 120, (1,), memory="128M")
        return result.cpu, stats["instructions"]


def main(setup):
    engines = [Several(setup, cpus) for cpus in CPUS]
    passes = calibrate(engines[0])
    got = [[] for _ in engines]
    for _ in range(setup.runs):
        for samples, engine in zip(got, engines):  # in turn: what else the host does hits all
            short, long = engine.run(passes // FEW), engine.run(passes)
            samples.append(((long[0] - short[0]) * 1e9, long[1] - short[1]))
    samples = [Sample(ns / count for ns, count in column) for column in got]
    one = min(samples[0].values)
    rows = [[f"{cpus}", f"{column[0][1] / 1e6:.1f}", sample.show(), f"{min(sample.values):.2f}",
             f"{min(sample.values) / one:.3f}"]
            for cpus, column, sample in zip(CPUS, got, samples)]
    table(["cpus", "M instr.", "ns of one", "least", "to one cpu's"], rows)
    print("  Processor time. The ratio is of the least, which other load disturbs least.")
    return {str(cpus): sample.data() for cpus, sample in zip(CPUS, samples)}
