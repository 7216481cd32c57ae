/*
 * Serves a listener of Node's http module, as an application of Express is one, to "handler process": node node.js FILE
 *
 * FILE exports function (req, res). Requests come in FastCGI's records on descriptor 0, one at a time, until that ends; what the application
 * prints goes to the error log.
 */
'use strict';

const { IncomingMessage, ServerResponse } = require('http');
const { Duplex } = require('stream');
const net = require('net');
const path = require('path');

const BEGIN = 1, END = 3, PARAMS = 4, STDIN = 5, STDOUT = 6;
const MOST = 65528; // bytes of a record

const listener = require(path.resolve(process.argv[2]));
const connection = new net.Socket({ fd: 0 });

function record(kind, content) {
    const head = Buffer.from([1, kind, 0, 1, content.length >> 8, content.length & 255, 0, 0]);
    return Buffer.concat([head, content]);
}

function* pairs(data) {
    let at = 0;
    const length = () => {
        if (data[at] < 128)
            return data[at++];
        at += 4;
        return data.readUInt32BE(at - 4) & 0x7fffffff;
    };
    while (at < data.length) {
        const name = length(), value = length();
        yield [data.toString('latin1', at, at + name), data.toString('latin1', at + name, at + name + value)];
        at += name + value;
    }
}

/* What a response is written to: HTTP's status line becomes a script's. */
class Output extends Duplex {
    constructor(params) {
        super();
        this.isBegun = false;
        this.remoteAddress = params.REMOTE_ADDR;
        this.remotePort = Number(params.REMOTE_PORT);
        this.encrypted = params.HTTPS === 'on';
    }

    _read() {}

    _write(data, encoding, done) {
        if (/^HTTP\/1\.\d 1\d\d /.test(data.toString('latin1', 0, 16))) // an interim response: there is no way for it
            return done();
        if (!this.isBegun)
            data = Buffer.from(data.toString('latin1').replace(/^HTTP\/1\.\d /, 'Status: '), 'latin1');
        this.isBegun = true;
        let goesOn = true;
        for (let at = 0; at < data.length; at += MOST)
            goesOn = connection.write(record(STDOUT, data.subarray(at, at + MOST)));
        if (goesOn)
            done();
        else
            connection.once('drain', done);
    }

    setTimeout() {}
}

function headersOf(params) {
    const headers = {};
    for (const [name, value] of Object.entries(params))
        if (name.startsWith('HTTP_'))
            headers[name.slice(5).toLowerCase().replace(/_/g, '-')] = value;
    return headers;
}

function begin(params) {
    const output = new Output(params);
    const req = new IncomingMessage(output);
    req.method = params.REQUEST_METHOD;
    req.url = params.REQUEST_URI;
    req.httpVersion = '1.0';
    req.httpVersionMajor = 1;
    req.httpVersionMinor = 0; // no chunks: records say where a body ends
    req.headers = headersOf(params);
    req.rawHeaders = Object.entries(req.headers).flat();
    const res = new ServerResponse(req);
    res.shouldKeepAlive = false;
    res.sendDate = false;
    res.assignSocket(output);
    // First all of it has to have gone.
    res.on('finish', () => output.end());
    // An application that gives up in the midst: nobody can go on with its connection.
    output.on('close', () => output.writableFinished || process.exit(1));
    output.on('finish', () => connection.write(Buffer.concat([record(STDOUT, Buffer.alloc(0)), record(END, Buffer.alloc(8))])));
    listener(req, res);
    return req;
}

let input = Buffer.alloc(0), params = [], req = null;

function take(kind, content) {
    if (kind === BEGIN)
        params = [];
    else if (kind === PARAMS && content.length)
        params.push(content);
    else if (kind === PARAMS)
        req = begin(Object.fromEntries(pairs(Buffer.concat(params))));
    else if (kind === STDIN && content.length)
        req.push(content);
    else if (kind === STDIN) {
        req.complete = true; // else it takes its connection for broken
        req.push(null);
    }
}

connection.on('data', (data) => {
    input = Buffer.concat([input, data]);
    while (input.length >= 8) {
        const content = input.readUInt16BE(4), all = 8 + content + input[6];
        if (input.length < all)
            return;
        take(input[1], input.subarray(8, 8 + content));
        input = input.subarray(all);
    }
});
connection.on('end', () => process.exit(0));
