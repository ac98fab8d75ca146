"""Our training step against a plain version of the same network: `python nbs/benchmarks/training.py` writes training.json

Both steps make 8 pictures of 256² of one scene, forward, loss, backward and AdamW, from the same weights. The plain one computes in float32,
contiguous memory, repeats skips and runs the encoder once for each light. They take turns in one process, so that the ratio holds on a
noisy machine; peak memory is taken in a process of its own for each.
"""
import argparse, json, platform, resource, statistics, subprocess, sys, time
from contextlib import nullcontext
from pathlib import Path
import torch, torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode
from illuminet.callbacks import bf16_helps
from illuminet.layers import UpBlock, expand_light
from illuminet.losses import RelightLoss
from illuminet.model import IllumiNet

HERE = Path(__file__).resolve().parent

def naive_up(self, x, skip, v, maps=()):
    "`UpBlock.forward` as its notebook first writes it: repeat, concatenate, convolve"
    x = torch.cat([F.interpolate(x, size=skip.shape[-2:], mode='bilinear'), *maps], 1)
    skip = skip.repeat_interleave(len(x)//len(skip), 0)
    light = F.conv2d(expand_light(v, skip.shape[-2:]), self.light.weight[..., None, None], self.light.bias)
    return self.rest(F.conv2d(torch.cat([x, skip], 1), self.conv.weight, padding=1) + light)

def make_step(ours, size, bs, device):
    "A function that does one training step"
    torch.manual_seed(0)
    net,loss = IllumiNet().to(device), RelightLoss()
    if ours: net = net.to(memory_format=torch.channels_last)
    opt = torch.optim.AdamW(net.parameters(), lr=1e-3)
    image,lights = torch.rand(1, 3, size, size, device=device), F.normalize(torch.randn(bs, 3, device=device), dim=-1)
    base,target = (torch.rand(bs, 3, size, size, device=device) for _ in range(2))
    if not ours: image = image.repeat(bs, 1, 1, 1)
    context = torch.autocast(device, torch.bfloat16) if ours and bf16_helps(device) else nullcontext()
    fast = UpBlock.forward
    def step():
        UpBlock.forward = fast if ours else naive_up
        with context: pred = net(image, lights, base)
        UpBlock.forward = fast
        value = loss(pred, target)
        value.backward(); opt.step(); opt.zero_grad()
        if device == 'cuda': torch.cuda.synchronize()
        return value.item()
    return step

def seconds(f):
    t = time.perf_counter(); f()
    return time.perf_counter()-t

def gemm_rate(dtype, device, n=2048):
    "Best rate of a square matrix product, FLOP/s"
    a = torch.randn(n, n, dtype=dtype, device=device)
    def run():
        a@a
        if device == 'cuda': torch.cuda.synchronize()
    run()
    return 2*n**3/min(seconds(run) for _ in range(8))

def peak_memory(ours, args):
    "Peak memory of one step in a process of its own, bytes over those of the imports"
    cmd = [sys.executable, __file__, '--memory', 'ours' if ours else 'plain', '--size', str(args.size), '--bs', str(args.bs), '--device', args.device]
    return int(subprocess.run(cmd, capture_output=True, text=True, check=True).stdout.split()[-1])

def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('--size', type=int, default=256); p.add_argument('--bs', type=int, default=8)
    p.add_argument('--rounds', type=int, default=7); p.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    p.add_argument('--out', default=HERE/'training.json'); p.add_argument('--memory', choices=['ours', 'plain'])
    args = p.parse_args()
    if args.memory:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss*1024
        step = make_step(args.memory == 'ours', args.size, args.bs, args.device); step(); step()
        return print(torch.cuda.max_memory_allocated() if args.device == 'cuda' else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss*1024-before)
    memory = {k: peak_memory(k == 'ours', args) for k in ('plain', 'ours')}      # first: a child inherits the peak of its parent
    ours,plain = (make_step(o, args.size, args.bs, args.device) for o in (True, False))
    with FlopCounterMode(display=False) as flops: ours()
    plain(); ours()
    rounds = [dict(plain=seconds(plain), ours=seconds(ours)) for _ in range(args.rounds)]
    mid = {k: statistics.median(r[k] for r in rounds) for k in rounds[0]}
    rate = gemm_rate(torch.bfloat16 if bf16_helps(args.device) else torch.float32, args.device)
    res = dict(size=args.size, bs=args.bs, rounds=rounds, seconds=mid, images_per_s={k: args.bs/v for k,v in mid.items()},
               ratio=statistics.median(r['plain']/r['ours'] for r in rounds), peak_memory=memory,
               flop_per_step=flops.get_total_flops(), gemm_flop_per_s=rate, share_of_gemm=flops.get_total_flops()/mid['ours']/rate,
               device=torch.cuda.get_device_name() if args.device == 'cuda' else platform.machine(), threads=torch.get_num_threads(),
               bf16=bf16_helps(args.device), torch=torch.__version__)
    Path(args.out).write_text(json.dumps(res, indent=1))
    print(f"{res['ratio']:.2f}x  {res['images_per_s']}")

if __name__ == '__main__': main()
