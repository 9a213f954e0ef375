"""Where D4RL's public data sets lie: name -> address, facts of D4RL's own table (its infos.py).

The server states no checksums, so none are here; `seqrl fetch --sha256` takes one that you know.
"""

from __future__ import annotations

_SERVER = "http://rail.eecs.berkeley.edu/datasets/offline_rl"


def _locomotion() -> dict[str, str]:
    found = {}
    levels = ("random", "medium", "expert", "medium_replay", "full_replay", "medium_expert")
    for body in ("halfcheetah", "hopper", "walker2d", "ant"):
        for level in levels:
            for version in ("v1", "v2"):
                name = f"{body}_{level}-{version}"
                found[name.replace("_", "-")] = f"gym_mujoco_{version}/{name}.hdf5"
        for level in ("random", "medium", "expert", "medium_expert"):
            found[f"{body}-{level.replace('_', '-')}-v0"] = f"gym_mujoco/{body}_{level}.hdf5"
        # The first replay sets were called mixed, and Walker's misses two letters.
        found[f"{body}-medium-replay-v0"] = f"gym_mujoco/{'walker' if body == 'walker2d' else body}_mixed.hdf5"
    return found | {"ant-random-expert-v0": "gym_mujoco/ant_random_expert.hdf5"}


def _mazes() -> dict[str, str]:
    found = {
        "maze2d-open-v0": "maze2d/maze2d-open-sparse.hdf5",
        "maze2d-open-dense-v0": "maze2d/maze2d-open-dense.hdf5",
        "minigrid-fourrooms-v0": "minigrid/minigrid4rooms.hdf5",
        "minigrid-fourrooms-random-v0": "minigrid/minigrid4rooms_random.hdf5",
    }
    for size in ("umaze", "medium", "large", "eval-umaze", "eval-medium", "eval-large"):
        found[f"maze2d-{size}-v1"] = f"maze2d/maze2d-{size}-sparse-v1.hdf5"
        found[f"maze2d-{size}-dense-v1"] = f"maze2d/maze2d-{size}-dense-v1.hdf5"
    for size, shape in (("umaze", "u-maze"), ("medium", "big-maze"), ("large", "hardest-maze")):
        small = size == "umaze"
        for level, start, goal in (("" if small else "play", not small, False), ("diverse", True, True)):
            name = "-".join(filter(None, ("antmaze", size, level)))
            file = f"Ant_maze_{shape}_noisy_multistart_{start}_multigoal_{goal}_sparse"
            found[f"{name}-v0"] = f"ant_maze_new/{file}.hdf5"
            found[f"{name}-v2"] = f"ant_maze_v2/{file}_fixed.hdf5"
    return found


def _others() -> dict[str, str]:
    found = {
        "kitchen-complete-v0": "kitchen/mini_kitchen_microwave_kettle_light_slider-v0.hdf5",
        "kitchen-partial-v0": "kitchen/kitchen_microwave_kettle_light_slider-v0.hdf5",
        "kitchen-mixed-v0": "kitchen/kitchen_microwave_kettle_bottomburner_light-v0.hdf5",
        "flow-ring-random-v0": "flow/flow-ring-v0-random.hdf5",
        "flow-ring-controller-v0": "flow/flow-ring-v0-idm.hdf5",
        "flow-merge-random-v0": "flow/flow-merge-v0-random.hdf5",
        "flow-merge-controller-v0": "flow/flow-merge-v0-idm.hdf5",
        "carla-lane-v0": "carla/carla_lane_follow_flat-v0.hdf5",
        "carla-town-v0": "carla/carla_town_subsamp_flat-v0.hdf5",
        "carla-town-full-v0": "carla/carla_town_flat-v0.hdf5",
    }
    for task in ("pen", "hammer", "relocate", "door"):
        found |= {
            f"{task}-{level}-v1": f"hand_dapg_v1/{task}-{level}-v1.hdf5" for level in ("human", "expert", "cloned")
        }
        found[f"{task}-human-v0"] = f"hand_dapg/{task}-v0_demos_clipped.hdf5"
        found[f"{task}-cloned-v0"] = f"hand_dapg/{task}-demos-v0-bc-combined.hdf5"
        found[f"{task}-expert-v0"] = f"hand_dapg/{task}-v0_expert_clipped.hdf5"
    return found


D4RL_URLS: dict[str, str] = {
    name: f"{_SERVER}/{path}" for name, path in sorted((_locomotion() | _mazes() | _others()).items())
}
"""The name of a data set -> its address."""
