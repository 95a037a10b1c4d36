#!/bin/sh
# Puts the libraries of the pages, which others wrote and npm has, into static/lib. `make assets` and the Dockerfile run it.
set -eu
cd "$(dirname "$0")"
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
mkdir -p static/lib
cp node_modules/@picocss/pico/css/pico.min.css static/lib/pico.css
cp node_modules/uplot/dist/uPlot.min.css static/lib/uplot.css
cp node_modules/uplot/dist/uPlot.iife.min.js static/lib/uplot.js
cp node_modules/htmx.org/dist/htmx.min.js static/lib/htmx.js
