raise SystemExit("this is read and not run")
parser.add_argument("--kind", choices=["small", "middle-2"], default="middle-2")
