"""What parts ask of each other is what they have."""

import numpy as np
import pytest
from ase.build import molecule

import skpot
from skpot.core import pair_basis, repulsion, soap, symmetry_functions, triplet_basis
from skpot.core.invariants import n_features
from skpot.data.contracts import DerivativeChain
from skpot.descriptors._soap_basis import RADIAL_BASES
from skpot.descriptors._soap_channels import _PARTS, ChannelSetting, spectrum_of
from skpot.descriptors.contracts import Channels, DescriptorKernels, RadialBasis, Spectrum
from skpot.kernels import RBF, DotProduct, Matern
from skpot.kernels.contracts import Covariance, Kernel
from skpot.processes.contracts import PosteriorProcess
from skpot.processes.gradient_references import GradientReferences
from skpot.processes.linear_terms import LinearTerms
from skpot.processes.references import References
from skpot.processes.variance import ExactProcess, LinearProcess, SparseProcess
from skpot.rows.contracts import TrainingColumns


@pytest.mark.parametrize(
    "module", [pair_basis, repulsion, soap, symmetry_functions, triplet_basis], ids=str
)
def test_formulas_of_descriptors(module):
    assert isinstance(module, DescriptorKernels)


@pytest.mark.parametrize("name", RADIAL_BASES)
def test_radial_bases(name):
    assert isinstance(RADIAL_BASES[name], RadialBasis)


@pytest.mark.parametrize(("body_order", "compression"), _PARTS)
def test_parts_of_soap(body_order, compression):
    setting = ChannelSetting(np.array([8, 14]), 3, 2, 1.0, 0)
    spectrum = spectrum_of(body_order, compression, setting)
    assert isinstance(spectrum, Spectrum)
    assert isinstance(spectrum.channels, Channels)
    assert len(spectrum.channels.names()) == spectrum.channels.count
    product = spectrum.product(2, **spectrum.terms(2))
    assert len(spectrum.names(2)) == n_features(product)


@pytest.mark.parametrize("descriptor", [skpot.SOAP(n_max=2, l_max=1), skpot.InverseDistances()])
def test_chains_of_derivatives(descriptor):
    chain = descriptor.fit_transform([molecule("H2O")]).derivatives
    assert isinstance(chain, DerivativeChain)
    assert isinstance(chain.take([0]), DerivativeChain)


@pytest.mark.parametrize("kernel", [DotProduct(), RBF(), Matern(), RBF() + Matern(), RBF() ** 2])
def test_kernels(kernel):
    assert isinstance(kernel, Kernel)
    assert all(isinstance(slope, Covariance) for slope in kernel.theta_gradient())


@pytest.mark.parametrize("columns", [References, GradientReferences, LinearTerms])
def test_training_columns(columns):
    assert issubclass(columns, TrainingColumns)


@pytest.mark.parametrize("process", [SparseProcess, LinearProcess, ExactProcess])
def test_posterior_processes(process):
    assert issubclass(process, PosteriorProcess)
