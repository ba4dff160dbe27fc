"""Our own triangulation of a mirror-symmetric surface: geodesic Voronoi clustering with feature curves.

The surface is cut at the plane x = 0, refined, and partitioned into geodesic Voronoi cells whose seeds follow a sizing
field (Lloyd's algorithm on the mesh graph; Valette and Chassery, "Approximated centroidal Voronoi diagrams for uniform
polygonal mesh coarsening", 2004). The dual of the cells is the new mesh. Curves that must stay edges (lid margins, lip
contours, part borders, the cut itself) carry fixed seeds, and distances along them are shortened so that the cells of
those seeds cover them. Mirroring closes the surface again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial import cKDTree

from engine.errors import EngineError

FEATURE_SHORTCUT = 0.35  # distance along a feature curve counts this much


def edges_of(triangles: np.ndarray) -> np.ndarray:
    """Every undirected edge once, (E, 2), lower index first."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    return np.unique(np.sort(edges, axis=1), axis=0)


def boundary_edges(triangles: np.ndarray) -> np.ndarray:
    """Undirected edges that belong to exactly one triangle, (E, 2)."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    unique, count = np.unique(np.sort(edges, axis=1), axis=0, return_counts=True)
    return unique[count == 1]


def graph(vertices: np.ndarray, edges: np.ndarray, scale: np.ndarray | float = 1.0) -> sp.csr_matrix:
    """Symmetric graph of edge lengths times ``scale`` per edge."""
    length = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1) * scale
    count = len(vertices)
    half = sp.coo_matrix((length + 1e-9, (edges[:, 0], edges[:, 1])), shape=(count, count))
    return (half + half.T).tocsr()


def trace(vertices: np.ndarray, edges: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Edges (E, 2) of the shortest edge path through the vertices ``stops``, in order."""
    lengths = graph(vertices, edges)
    found = []
    for start, end in zip(stops[:-1], stops[1:]):
        _, previous = dijkstra(lengths, indices=start, return_predecessors=True)
        while end != start:
            found.append((min(end, previous[end]), max(end, previous[end])))
            end = previous[end]
    return np.array(found)


@dataclass(frozen=True)
class FineSurface:
    """A refined surface: ``operator`` (n, N) takes fields on the source's vertices to fields on its ``vertices``."""

    vertices: np.ndarray
    triangles: np.ndarray
    source_triangle: np.ndarray
    feature_edges: np.ndarray
    operator: sp.csr_matrix


def refine(vertices: np.ndarray, triangles: np.ndarray, feature_edges: np.ndarray, times: int) -> FineSurface:
    """Split every triangle into four, ``times`` over; vertices no triangle uses are dropped."""
    used, compact = np.unique(triangles, return_inverse=True)
    rank = np.full(len(vertices), -1)
    rank[used] = np.arange(len(used))
    faces, features = compact.reshape(-1, 3), rank[feature_edges]
    features = features[(features >= 0).all(axis=1)]
    operator = sp.eye(len(vertices), format="csr")[used]
    origin = np.arange(len(faces))
    for _ in range(times):
        edges = edges_of(faces)
        count = operator.shape[0]
        a, b, c = faces.T
        ab, bc, ca = (count + _find(edges, pair) for pair in (faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]))
        faces = np.concatenate([np.stack(t, 1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
        origin = np.tile(origin, 4)
        m = count + _find(edges, features)
        features = np.concatenate([np.stack([features[:, 0], m], 1), np.stack([m, features[:, 1]], 1)])
        operator = sp.vstack([operator, (operator[edges[:, 0]] + operator[edges[:, 1]]) * 0.5], format="csr")
    return FineSurface(operator @ vertices, faces, origin, np.sort(features, axis=1), operator)


def _find(edges: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Index in the sorted ``edges`` (E, 2) of each undirected pair (P, 2)."""
    base = edges.max() + 1
    pairs = np.sort(pairs, axis=1)
    return np.searchsorted(edges[:, 0] * base + edges[:, 1], pairs[:, 0] * base + pairs[:, 1])


def vertex_areas(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """A third of the area of the triangles around each vertex, (N,)."""
    corner = vertices[triangles]
    area = np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1) / 6
    return np.bincount(triangles.ravel(), np.repeat(area, 3), minlength=len(vertices))


def curve_seeds(surface: FineSurface, size: np.ndarray) -> np.ndarray:
    """Vertices spaced by ``size`` along the feature curves; ends and junctions of curves are always among them."""
    edges = surface.feature_edges
    degree = np.bincount(edges.ravel(), minlength=len(size))
    corners = np.flatnonzero((degree > 0) & (degree != 2))
    relative = 1 / ((size[edges[:, 0]] + size[edges[:, 1]]) / 2)
    along = graph(surface.vertices, edges, relative)
    # Curves between corners: the components that are left once the corners are taken out.
    inner = edges[~np.isin(edges, corners).any(axis=1)]
    count = len(size)
    _, label = connected_components(sp.coo_matrix((np.ones(len(inner)), inner.T), shape=(count, count)), directed=False)
    seeds = [corners]
    for curve in np.unique(label[(degree == 2)]):
        on = np.flatnonzero((label == curve) & (degree == 2))
        near = np.unique(edges[np.isin(edges, on).any(axis=1)])
        ends = np.intersect1d(near, corners)
        start = ends[0] if len(ends) else on[np.argmax(surface.vertices[on, 0])]
        path = _walk(along, on, start)
        length = np.concatenate([[0], np.cumsum([along[a, b] for a, b in zip(path[:-1], path[1:])])])
        pieces = max(int(round(length[-1])), 1 if len(ends) > 1 else 3)
        wanted = np.linspace(0, length[-1], pieces + 1)
        wanted = wanted[1:-1] if len(ends) else wanted[:-1]
        seeds.append(np.array([path[np.argmin(abs(length - w))] for w in wanted], int))
    return np.unique(np.concatenate(seeds))


def _walk(along: sp.csr_matrix, on: np.ndarray, start: int) -> list[int]:
    """The vertices of one curve in order from ``start``; a closed curve ends where it began."""
    allowed, path, before = set(on.tolist()), [int(start)], -1
    while True:
        here = path[-1]
        around = [n for n in along.indices[along.indptr[here] : along.indptr[here + 1]] if n != before]
        ahead = [n for n in around if n in allowed]
        before = here
        if ahead:
            allowed.discard(ahead[0])
            path.append(int(ahead[0]))
            if ahead[0] == start:
                return path
            continue
        last = [n for n in around if n not in on and len(path) > 1]
        return path + [int(n) for n in last[:1]]


def cluster(surface: FineSurface, size: np.ndarray, seed: int, rounds: int = 25) -> tuple[np.ndarray, np.ndarray]:
    """Geodesic Voronoi cells with edge length about ``size`` (n,): cell seeds (C,), cell of every vertex (n,)."""
    vertices, count = surface.vertices, len(surface.vertices)
    edges = edges_of(surface.triangles)
    key = np.sort(edges, axis=1) @ np.array([count, 1])
    on_curve = np.isin(key, surface.feature_edges @ np.array([count, 1]))
    relative = np.where(on_curve, FEATURE_SHORTCUT, 1) * 2 / (size[edges[:, 0]] + size[edges[:, 1]])
    metric = graph(vertices, edges, relative)
    fixed = curve_seeds(surface, size)
    weight = vertex_areas(vertices, surface.triangles) / size**2  # cells of equal weight everywhere
    curve_vertex = np.zeros(count, bool)
    curve_vertex[surface.feature_edges] = True

    near_fixed = dijkstra(metric, indices=fixed, min_only=True)
    free_area = weight[(near_fixed > 0.5) & ~curve_vertex].sum()
    rng = np.random.default_rng(seed)
    chance = weight * ((near_fixed > 0.6) & ~curve_vertex)
    free = rng.choice(count, int(free_area / (np.sqrt(3) / 2)), replace=False, p=chance / chance.sum())
    for _ in range(rounds):
        seeds = np.concatenate([fixed, free])
        _, _, origin = dijkstra(metric, indices=seeds, min_only=True, return_predecessors=True)
        rank = np.full(count, -1)
        rank[seeds] = np.arange(len(seeds))
        cell = rank[origin]
        mass = np.bincount(cell, weight, minlength=len(seeds))
        centre = np.stack([np.bincount(cell, weight * vertices[:, k], minlength=len(seeds)) for k in range(3)], 1)
        centre /= mass[:, None]
        away = ((vertices - centre[cell]) ** 2).sum(axis=1) + 1e9 * curve_vertex
        order = np.lexsort((away, cell))
        first = order[np.searchsorted(cell[order], np.arange(len(seeds)))]
        free = first[len(fixed) :]
    seeds = np.concatenate([fixed, free])
    _, _, origin = dijkstra(metric, indices=seeds, min_only=True, return_predecessors=True)
    rank = np.full(count, -1)
    rank[seeds] = np.arange(len(seeds))
    return seeds, rank[origin]


def dual(surface: FineSurface, cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Triangles (T, 3) between cells that meet in a point, and the fine triangle (T,) where they do."""
    corner = cell[surface.triangles]
    meets = (corner[:, 0] != corner[:, 1]) & (corner[:, 1] != corner[:, 2]) & (corner[:, 2] != corner[:, 0])
    where = np.flatnonzero(meets)
    _, first = np.unique(np.sort(corner[where], axis=1), axis=0, return_index=True)
    where = where[np.sort(first)]
    return corner[where], where


def flip_to_delaunay(
    vertices: np.ndarray, triangles: np.ndarray, keep: set[tuple[int, int]], rounds: int = 12
) -> np.ndarray:
    """Flip edges whose opposite angles sum to over 180°, unless in ``keep`` or the flip would fold the surface."""
    faces = triangles.copy()
    for _ in range(rounds):
        owner: dict[tuple[int, int], list[int]] = {}
        for index, face in enumerate(faces.tolist()):
            for k in range(3):
                a, b = face[k], face[(k + 1) % 3]
                owner.setdefault((min(a, b), max(a, b)), []).append(index)
        touched, flips = set(), 0
        for (a, b), pair in owner.items():
            if len(pair) != 2 or (a, b) in keep or touched & set(pair):
                continue
            c = next(v for v in faces[pair[0]].tolist() if v not in (a, b))
            d = next(v for v in faces[pair[1]].tolist() if v not in (a, b))
            if (min(c, d), max(c, d)) in owner:
                continue
            if _angle(vertices, c, a, b) + _angle(vertices, d, a, b) <= np.pi + 1e-3:
                continue
            first = faces[pair[0]].tolist()
            if first[(first.index(a) + 1) % 3] != b:
                a, b = b, a  # so that (a, b, c) has the orientation of its face
            old = _normal(vertices, a, b, c) + _normal(vertices, b, a, d)
            new = (_normal(vertices, c, a, d), _normal(vertices, d, b, c))
            if min(new[0] @ old, new[1] @ old) <= 0.2 * np.linalg.norm(old) * min(map(np.linalg.norm, new)):
                continue
            faces[pair[0]], faces[pair[1]] = (c, a, d), (d, b, c)
            touched.update(pair)
            flips += 1
        if not flips:
            break
    return faces


def _angle(vertices: np.ndarray, at: int, a: int, b: int) -> float:
    u, v = vertices[a] - vertices[at], vertices[b] - vertices[at]
    return float(np.arctan2(np.linalg.norm(np.cross(u, v)), u @ v))


def _normal(vertices: np.ndarray, a: int, b: int, c: int) -> np.ndarray:
    return np.cross(vertices[b] - vertices[a], vertices[c] - vertices[a])


def mirror_map(vertices: np.ndarray, tolerance: float = 0.02) -> np.ndarray:
    """For each vertex the one at (−x, y, z), (N,); raises EngineError ``bad_assets`` if the mesh is not symmetric."""
    distance, partner = cKDTree(vertices).query(vertices * [-1, 1, 1])
    if distance.max() > tolerance:
        raise EngineError(
            "bad_assets",
            f"The first head is not symmetric about x = 0: a vertex is {distance.max():.3f} cm from its mirror image.",
            "Give the assets that docs/develop.md lists.",
        )
    return partner
