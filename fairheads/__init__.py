"""fairheads: has a network that was trained to be fair quietly learned to treat people by group?

The map of the house, from the ground up (imports point down only; every name has one address):

====================  =====================================================================
``fairheads.errors``        exceptions and warnings
``fairheads.progress``      how far something long is, in a terminal and in a notebook
``fairheads.sums``          mergeable accumulators: cell counts, moments
``fairheads.results``       what every function returns: frozen, typed, plain
``fairheads.metrics``       rates, disparities and their intervals (numpy only)
``fairheads.data``          ``Dataset``, ``read_table``, the embedded ``adult``
``fairheads.nets``          ``MLP``, ``ResNet``, ``Transformer``, and two heads on any network
``fairheads.activations``   ``Network``: look at layers and edit them, leaving nothing behind
``fairheads.constraints``   differentiable statistics of groups, and what a gap costs
``fairheads.training``      one loop, and the objectives that join a constraint to the loss
``fairheads.models``        saved models in and out, no pickle
``fairheads.twoheads``      the explicit baseline: coefficients, front, exact merge
``fairheads.pathways``      readouts, swap, erasure, retention, the verdict
``fairheads.planted``       populations, and networks whose answer is known
``fairheads.twins``         the same recipe without the constraint, trained again
``fairheads.selftest``      heads of known strength in one's own network: would they be found?
``fairheads.monitor``       watching a head emerge while a network trains
``fairheads.estimators``    scikit-learn classifiers, and Fairlearn's methods for comparison
``fairheads.integrations``  Lightning and Hugging Face
``fairheads.reports``       text, Markdown and HTML pages made of results
``fairheads.audit``         the one call that puts it together
``fairheads.compare``       several models on the same rows
``fairheads.study``         the paper's study on one's own data
====================  =====================================================================
"""

__version__ = "0.1.0"
