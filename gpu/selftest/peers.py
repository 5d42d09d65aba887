"""Times a library's matrix multiplication and top k on the device. Reads a JSON
object {"k", "shapes": [[rows, dim, batch], ...], "seconds"} from standard input and
prints one: what it is, its rates, and the microseconds of each shape."""
import json
import sys
import time


def median_time(run, wait, seconds):
    for _ in range(2):
        run()
    wait()
    took, end = [], time.perf_counter() + seconds
    while len(took) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        wait()
        took.append(time.perf_counter() - start)
    return sorted(took)[len(took) // 2]


def with_torch(job):
    import torch

    if not torch.cuda.is_available():
        raise RuntimeError("PyTorch sees no device")
    wait = torch.cuda.synchronize
    n = job["side"]
    out = {"name": "PyTorch", "version": torch.__version__, "timings": []}
    a = torch.randn(n, n, device="cuda", dtype=torch.bfloat16)
    b = torch.randn(n, n, device="cuda", dtype=torch.bfloat16)
    out["bf16_operations_per_second"] = 2 * n**3 / median_time(lambda: a @ b, wait, job["seconds"])
    if hasattr(torch, "_int_mm"):
        c = torch.randint(-127, 127, (n, n), device="cuda", dtype=torch.int8)
        d = torch.randint(-127, 127, (n, n), device="cuda", dtype=torch.int8).t()
        try:
            out["int8_operations_per_second"] = 2 * n**3 / median_time(lambda: torch._int_mm(c, d), wait, job["seconds"])
        except RuntimeError as e:
            print("int8:", e, file=sys.stderr)
    del a, b
    for rows, dim, batch in job["shapes"]:
        data = q = None  # their memory is free before there are others
        try:
            data = torch.empty(rows, dim, device="cuda", dtype=torch.bfloat16).normal_()
            q = torch.randn(batch, dim, device="cuda", dtype=torch.bfloat16)
            seconds = median_time(lambda: torch.topk(q @ data.t(), job["k"]), wait, job["seconds"])
            out["timings"].append({"rows": rows, "dim": dim, "batch": batch, "micros": seconds * 1e6})
        except RuntimeError as e:  # memory, mostly: scores of all rows are written down
            print(rows, dim, batch, e, file=sys.stderr)
        data = q = None
        torch.cuda.empty_cache()
    return out


def with_cupy(job):
    import cupy

    wait = cupy.cuda.runtime.deviceSynchronize
    n = job["side"]
    out = {"name": "CuPy", "version": cupy.__version__, "timings": []}
    a = cupy.random.standard_normal((n, n), dtype=cupy.float32).astype(cupy.float16)
    out["fp16_operations_per_second"] = 2 * n**3 / median_time(lambda: a @ a, wait, job["seconds"])
    del a
    for rows, dim, batch in job["shapes"]:
        data = q = None  # their memory is free before there are others
        try:
            data = cupy.random.standard_normal((rows, dim), dtype=cupy.float32).astype(cupy.float16)
            q = cupy.random.standard_normal((batch, dim), dtype=cupy.float32).astype(cupy.float16)
            seconds = median_time(lambda: cupy.argpartition(-(q @ data.T), job["k"], axis=1)[:, : job["k"]], wait, job["seconds"])
            out["timings"].append({"rows": rows, "dim": dim, "batch": batch, "micros": seconds * 1e6})
        except cupy.cuda.memory.OutOfMemoryError as e:
            print(rows, dim, batch, e, file=sys.stderr)
        data = q = None
        cupy.get_default_memory_pool().free_all_blocks()
    return out


def main():
    job = json.load(sys.stdin)
    reasons = []
    for measure in (with_torch, with_cupy):
        try:
            print(json.dumps(measure(job)))
            return
        except ImportError as e:
            reasons.append(str(e))
        except Exception as e:
            reasons.append("%s: %s" % (type(e).__name__, e))
    print(json.dumps({"reason": "; ".join(reasons)}))


main()
