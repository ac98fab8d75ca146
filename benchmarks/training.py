"""Our training step against a plain version of the same network: `python benchmarks/training.py` writes training.json

Both steps make 8 pictures of 256² of one scene, forward, loss, backward and AdamW, from the same weights. The plain one
computes in float32, contiguous memory, repeats skips and runs the encoder once for each light. They take turns in one
process, so that the ratio holds on a noisy machine; peak memory is taken in a process of its own for each.
"""
import argparse, json, platform, resource, statistics, subprocess, sys
from contextlib import nullcontext
from pathlib import Path
import torch, torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode
from illuminet.callbacks import bf16_helps
from illuminet.layers import UpBlock, expand_light
from illuminet.losses import RelightLoss
from illuminet.model import IllumiNet
from common import RESULTS, seconds


def naive_up(self, x, skip, v, maps=()):
    "`UpBlock.forward` as its notebook first writes it: repeat, concatenate, convolve"
    x = torch.cat([F.interpolate(x, size=skip.shape[-2:], mode='bilinear'), *maps], 1)
    skip = skip.repeat_interleave(len(x)//len(skip), 0)
    light = F.conv2d(expand_light(v, skip.shape[-2:]), self.light.weight[..., None, None], self.light.bias)
    return self.rest(F.conv2d(torch.cat([x, skip], 1), self.conv.weight, padding=1) + light)


def make_step(ours, size, bs, device):
    "Return a function that does one training step and returns the loss"
    torch.manual_seed(0)
    net, loss = IllumiNet().to(device), RelightLoss()
    if ours: net = net.to(memory_format=torch.channels_last)
    opt = torch.optim.AdamW(net.parameters(), lr=1e-3)
    image = torch.rand(1, 3, size, size, device=device)
    lights = F.normalize(torch.randn(bs, 3, device=device), dim=-1)
    base, target = (torch.rand(bs, 3, size, size, device=device) for _ in range(2))
    if not ours: image = image.repeat(bs, 1, 1, 1)
    context = torch.autocast(device, torch.bfloat16) if ours and bf16_helps(device) else nullcontext()
    fast = UpBlock.forward

    def step():
        UpBlock.forward = fast if ours else naive_up
        with context: pred = net(image, lights, base)
        UpBlock.forward = fast
        value = loss(pred, target)
        value.backward()
        opt.step()
        opt.zero_grad()
        if device == 'cuda': torch.cuda.synchronize()
        return value.item()
    return step


def gemm_rate(dtype, device, n=2048):
    "Return the best rate of a square matrix product, FLOP/s"
    a = torch.randn(n, n, dtype=dtype, device=device)
    def product():
        a@a
        if device == 'cuda': torch.cuda.synchronize()
    product()
    return 2*n**3/min(seconds(product) for _ in range(8))


def peak_memory(ours, args):
    "Return the peak memory of one step in a process of its own, bytes over those of the imports"
    command = [sys.executable, __file__, '--memory', 'ours' if ours else 'plain', '--size', args.size, '--bs', args.bs,
               '--device', args.device]
    printed = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout
    return int(printed.split()[-1])


def resident_bytes(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss*1024


def print_memory(args):
    "Print the peak memory of two steps in this process"
    before = resident_bytes()
    step = make_step(args.memory == 'ours', args.size, args.bs, args.device)
    for _ in range(2): step()
    print(torch.cuda.max_memory_allocated() if args.device == 'cuda' else resident_bytes() - before)


def measure(args):
    "Return what is written"
    memory = {key: peak_memory(key == 'ours', args) for key in ('plain', 'ours')}  # first: it has the parent's
    ours, plain = (make_step(which, args.size, args.bs, args.device) for which in (True, False))
    with FlopCounterMode(display=False) as counter: ours()
    plain()
    ours()
    rounds = [dict(plain=seconds(plain), ours=seconds(ours)) for _ in range(args.rounds)]
    middle = {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
    bf16, flops = bf16_helps(args.device), counter.get_total_flops()
    rate = gemm_rate(torch.bfloat16 if bf16 else torch.float32, args.device)
    return dict(size=args.size, bs=args.bs, rounds=rounds, seconds=middle,
                images_per_s={key: args.bs/value for key, value in middle.items()},
                ratio=statistics.median(one['plain']/one['ours'] for one in rounds), peak_memory=memory,
                flop_per_step=flops, gemm_flop_per_s=rate, share_of_gemm=flops/middle['ours']/rate,
                device=torch.cuda.get_device_name() if args.device == 'cuda' else platform.machine(),
                threads=torch.get_num_threads(), bf16=bf16, torch=torch.__version__)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--size', type=int, default=256)
    parser.add_argument('--bs', type=int, default=8)
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--out', default=RESULTS/'training.json')
    parser.add_argument('--memory', choices=['ours', 'plain'])
    args = parser.parse_args()
    if args.memory: return print_memory(args)
    results = measure(args)
    Path(args.out).write_text(json.dumps(results, indent=1))
    print(f"{results['ratio']:.2f}x  {results['images_per_s']}")


if __name__ == '__main__': main()
