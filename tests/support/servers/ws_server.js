// Node and ws: node ws_server.js PORT TONE; NODE_PATH leads to the package.
"use strict";
const fs = require("node:fs");
const { WebSocketServer } = require("ws");

const tone = fs.readFileSync(process.argv[3]).toString("base64");
const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]) });

server.on("connection", (socket, request) => {
  const wanted = request.url.slice(1);
  let streamSid = "";
  let media = 0;
  const send = (event, fields) => socket.send(JSON.stringify({ event, streamSid, ...fields }));
  socket.on("message", (text) => {
    const message = JSON.parse(text);
    if (message.event === "start") {
      streamSid = message.streamSid;
      if (wanted === "good" || wanted === "misspelt") {
        send("media", { media: { [wanted === "good" ? "payload" : "playload"]: tone } });
        send("mark", { mark: { name: "end" } });
      }
    } else if (message.event === "mark" && wanted === "good") {
      socket.close(1000, "done");
    } else if (message.event === "media" && (media += 1) === 10) {
      if (wanted === "closes") socket.close(1011, "upstream quota used up");
      if (wanted === "binary") socket.send(Buffer.alloc(160, 255));
      if (wanted === "raises") throw new Error("no customer of that name");
      if (wanted === "exits") process.exit(1);
    }
  });
});
