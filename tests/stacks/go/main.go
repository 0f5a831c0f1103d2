// The Go service of the five: otelhttp around a ServeMux with patterns, the SDK as its guide sets it up, everything else by OTEL_* variables.
// SPDX-License-Identifier: Apache-2.0
package main

import (
	"context"
	"log"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/trace"
)

var (
	release = os.Getenv("RELEASE")
	paid    atomic.Int64
)

// Twelve milliseconds of work, and 25 more in a slow release.
func ok(w http.ResponseWriter, _ *http.Request) {
	time.Sleep(12 * time.Millisecond)
	if release == "slow" {
		time.Sleep(25 * time.Millisecond)
	}
	w.Write([]byte("{}\n"))
}

func pay(w http.ResponseWriter, r *http.Request) {
	if release == "bad" && paid.Add(1)%10 == 0 {
		http.Error(w, "payment failed", http.StatusInternalServerError)
		return
	}
	ok(w, r)
}

func main() {
	ctx := context.Background()
	metrics, err := otlpmetrichttp.New(ctx)
	if err != nil {
		log.Fatal(err)
	}
	traces, err := otlptracehttp.New(ctx)
	if err != nil {
		log.Fatal(err)
	}
	otel.SetMeterProvider(metric.NewMeterProvider(metric.WithReader(metric.NewPeriodicReader(metrics))))
	otel.SetTracerProvider(trace.NewTracerProvider(trace.WithBatcher(traces)))

	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/cart/{id}", ok)
	mux.HandleFunc("GET /api/pay/{id}", pay)
	mux.HandleFunc("GET /healthz", ok)
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), otelhttp.NewHandler(mux, "server")))
}
