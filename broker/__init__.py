"""The only room that knows a broker. What it tells is in `broker.events`, what it can be asked is the
`Broker` protocol of `broker.protocol`; above it nobody sees more.

`broker.interactive_brokers` is the adapter (ib_async), `broker.simulated_clock` the time of a simulated
gateway, `broker.gateway` that gateway: a program of its own. Nothing is imported here, so that the gateway
starts without the adapter.
"""
