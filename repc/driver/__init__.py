"""The data path, from a spec or a file of another tool to what is deployed, readable in one sitting.

load(spec)            text → tree → typed graph, or an importer          → Model
Model.module()        the typed graph as a torch module to train
Model.fuse(weights)   checkpoint → parameters; graph → fused graph       → Fused
Fused.expand(…)        the deployed network as one to train on           → Expanded
Fused.…               deployed weights, torch module, source, ONNX, report
"""

from repc.driver.expand import Expanded
from repc.driver.model import Fused, Missed, Model
from repc.driver.opening import load, open_model
from repc.driver.weights import Parameters

__all__ = ["Expanded", "Fused", "Missed", "Model", "Parameters", "load", "open_model"]
