"""PEFT's adapters as spec text and a layout.

reading      a folder: its spec, its tensors, its layers
config       what adapter_config.json says, and what is refused of it
keys         the keys of the file, each in one place
names        tensors that models of transformers have in memory under other names than in files
parameters   adapters of parameters that are no layer's weight
forms        the form that the tensors of a module have
method       what a method is: settings, forms
methods      the table of all; those of LoRA's kind, and
products     … of a weight by itself or by its singular vectors
rotations    … that turn inputs or outputs
shared       … whose modules share tensors
sparse       … of sparse, circulant or tiled differences
projections  frozen tensors that a seed gives
spread       tensors that are kept once for several modules
"""
