# The Flask service of the five: nothing about OpenTelemetry, `opentelemetry-instrument` brings that.
# SPDX-License-Identifier: Apache-2.0
import logging
import os

from flask import Flask

from release import pay_status, work

app = Flask(__name__)


@app.get("/api/cart/<cart>")
def cart(cart):
    work()
    return {"cart": cart}


@app.get("/api/pay/<order>")
def pay(order):
    work()
    return {"pay": order}, pay_status()


@app.get("/healthz")
def healthz():
    work()
    return {}


if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # no line for every request
    app.run(host="127.0.0.1", port=int(os.environ["PORT"]), threaded=True)
