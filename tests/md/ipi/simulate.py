"""A script that runs i-PI and writes the results: simulate.py plan.json output.npz."""

import json
import sys
from pathlib import Path

import numpy as np
from ipi.engine.forcefields import FFDirect
from ipi.engine.simulation import Simulation

from skpot.md.ipi import DRIVER

DIRECT = """
<ffdirect name='skpot'>
  <pes> custom </pes> <pes_path> {driver} </pes_path> <batch_size> {beads} </batch_size>
  <parameters> {{ model: {model}, template: {structure} }} </parameters>
</ffdirect>"""
SOCKET = """
<ffsocket name='skpot' mode='unix'> <address> {socket} </address> </ffsocket>"""

# Both thermostats of C. Ceriotti, M. Parrinello, T. E. Markland, D. E. Manolopoulos, J. Chem.
# Phys. 133, 124104 (2010), and a barostat with one.
DYNAMICS = {
    "nve": "<dynamics mode='nve'>",
    "nvt": "<dynamics mode='nvt'> <thermostat mode='pile_g'> <tau units='femtosecond'> 20 </tau>"
    " </thermostat>",
    "npt": "<dynamics mode='npt'> <thermostat mode='svr'> <tau units='femtosecond'> 20 </tau>"
    " </thermostat> <barostat mode='isotropic'> <tau units='femtosecond'> 100 </tau>"
    " <thermostat mode='svr'> <tau units='femtosecond'> 100 </tau> </thermostat> </barostat>",
}
INPUT = """
<simulation verbosity='quiet' safe_stride='100000'>
  <output prefix='out'> <checkpoint stride='100000'/> </output>
  <total_steps> {steps} </total_steps>
  <prng> <seed> 7 </seed> </prng>
  {forcefield}
  <system>
    <initialize nbeads='{beads}'>
      <file mode='ase' units='ase'> {structure} </file>
      <velocities mode='thermal' units='kelvin'> {kelvin} </velocities>
    </initialize>
    <forces> <force forcefield='skpot'/> </forces>
    <motion mode='dynamics'> {dynamics} <timestep units='femtosecond'> 0.5 </timestep> </dynamics>
    </motion>
    <ensemble> <temperature units='kelvin'> {kelvin} </temperature>
      <pressure units='gigapascal'> 1.0 </pressure> </ensemble>
  </system>
</simulation>"""


def main(plan, output):
    forcefield = (SOCKET if plan["socket"] else DIRECT).format(driver=DRIVER, **plan)
    dynamics = DYNAMICS[plan["ensemble"]]
    Path("input.xml").write_text(INPUT.format(**plan | locals()))
    with open("input.xml") as file:
        simulation = Simulation.load_from_xml(file)
    batches = []
    for ff in simulation.fflist.values():
        if isinstance(ff, FFDirect):
            ff.driver = counting(ff.driver, batches)
    record = []
    system = simulation.syslist[0]

    def note():
        record.append((float(system.ensemble.econs), float(system.nm.kin), float(system.cell.V)))

    motion_step = system.motion.step

    def step(*args, **kwargs):
        note()
        motion_step(*args, **kwargs)

    system.motion.step = step
    simulation.run()
    note()
    for ff in simulation.fflist.values():
        ff.stop()
    np.savez(
        output,
        positions=np.array(system.beads.q),
        energies=np.array(system.forces.pots),
        forces=np.array(system.forces.f),
        virials=np.array(system.forces.virs),
        cell=np.array(system.cell.h).T,
        record=np.array(record),
        batches=np.array(batches),
    )


def counting(driver, batches):
    def call(cell, pos):
        batches.append(len(pos) if isinstance(pos, list) else 1)
        return driver(cell, pos)

    return call


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2])
