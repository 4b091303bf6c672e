"""A quick look at whether gradients follow from an error: by a few numbers of each array."""

import numpy as np

N_NUMBERS = 2  # of each array at each point


class Shadows:
    """The user's dW and db of one layer, projected on a few random directions."""

    def __init__(self, search, k):
        rng, network = np.random.default_rng(0), search.network
        W, z, x = network.W[k - 1], network.z[k - 1], network.inputs[k - 1]
        u, self.v = (rng.normal(size=(n, N_NUMBERS)) for n in W.shape[1:])
        self.shape, self.x, self.seen = z.shape, x @ u, {}
        self.no_gradients = all(of[k - 1] is None for of in search.gradients.values())
        for kind, p in network.penalised.items():
            user = search.gradients[kind][k - 1]
            if user is not None and user.shape == p[k - 1].shape:
                sides = u if kind == "W" else np.ones((1, N_NUMBERS))
                of = lambda a, sides=sides: np.einsum("kij,ir,jr->kr", a, sides, self.v).ravel()
                self.seen[kind] = of(user), of(p[k - 1])

    def may_follow(self, dZ, one_change):
        """Tell whether dW or db may be a multiple of what follows, beside a penalty's share.

        one_change: whether the error has only one, so that arrays of another shape may hang on it.
        """
        along = np.broadcast_to(dZ, self.shape) @ self.v
        for kind, (user, p) in self.seen.items():
            ours = along if kind == "b" else self.x * along
            ours = ours.sum(axis=-2).ravel()
            user, ours = (a - (a @ p) / ((p @ p) or 1.0) * p for a in (user, ours))
            rest = user - (ours @ user) / ((ours @ ours) or 1.0) * ours
            if not np.linalg.norm(rest) > 1e-4 * np.linalg.norm(user):
                return True
        return self.no_gradients or (one_change and not self.seen)
