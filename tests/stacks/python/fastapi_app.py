# The FastAPI service of the five, for uvicorn: nothing about OpenTelemetry, `opentelemetry-instrument` brings that.
# SPDX-License-Identifier: Apache-2.0
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from release import pay_status, work

app = FastAPI()


@app.get("/api/cart/{cart}")
def cart(cart: str):
    work()
    return {"cart": cart}


@app.get("/api/pay/{order}")
def pay(order: str):
    work()
    return JSONResponse({"pay": order}, status_code=pay_status())


@app.get("/healthz")
def healthz():
    work()
    return {}
