"""LAMMPS as the engine."""
