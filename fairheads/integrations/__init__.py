"""Objectives in other people's training loops: plain torch here, `lightning` and `huggingface` beside it.

Neither of the two is imported by this package; both come with the extra ``integrations``.

In a loop of plain torch it is three lines. A stands for what was there, B for what is new:

>>> import torch
>>> from torch import nn
>>> from fairheads.constraints import demographic_parity
>>> from fairheads.training import Lagrangian
>>> net, X = nn.Linear(4, 1), torch.randn(32, 4)
>>> y, group = (X[:, 0] > 0).long(), (X[:, 1] > 0).long()
>>> objective = Lagrangian(demographic_parity(groups=2), tolerance=0.02)  # B
>>> optimizer = torch.optim.Adam([*net.parameters(), *objective.parameters()])
>>> for epoch in range(2):
...     loss = objective(net(X), y, group)  # B, where A took the loss of the task alone
...     optimizer.zero_grad()
...     loss.backward()
...     optimizer.step()
...     objective.step()  # B

Put ``objective.state_dict()`` into checkpoints beside that of the network, and call the objective in ``eval()`` mode
on rows that are not trained on. When gradients are accumulated over several batches, call the objective on each,
divide the loss by their number as ever, and call ``objective.step()`` once, after the optimiser's step.

Several processes
-----------------
Where ``torch.distributed`` is in use, a constraint is that of the rows of all processes together, so that a process
whose batch lacks a group learns from the others'. Nothing has to be set::

    net = DistributedDataParallel(net)
    loss = objective(net(X), y, group)  # X, y and group: the rows of this process

- Every process must call the objective equally often: each call exchanges sums of groups (scores of rows, for
  `fairheads.constraints.wasserstein`).
- Gradients must be averaged over processes, as `torch.nn.parallel.DistributedDataParallel` does. The gradient of the
  constraint then is that of the joined batch, whatever the numbers of rows. The loss of the task is averaged over
  processes, as ever, which is the mean over all rows only where processes have equally many.
- Multipliers, running counts and weights of groups (`fairheads.training.GroupDRO`) are the same in all processes, so
  that any of them can write the checkpoint.
- Parameters of the objective (`fairheads.training.Adversarial`) need averaged gradients as well: make the network and
  the objective one module, call both in its ``forward``, and wrap that one.
"""
